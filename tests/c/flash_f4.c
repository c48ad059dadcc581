/* The firmware's slots, push and flash driver of an STM32F4 without its other hardware: for Unicorn,
 * which plays the flash controller. The packets of the link come and go through buffers. */
#include <string.h>

#include "port_stm32.h"
#include "push.h"
#include "ring.h"
#include "selftest.h"
#include "slots.h"

smcu_ring_t smcu_rx_ring;
uint8_t glue_in[1100];   /* payload of the packet that is handed over */
uint8_t glue_out[1200];  /* the packet that came back, encoded */
uint32_t glue_out_bytes;

static smcu_status_t model_status;
static uint32_t micros;

/* The slot that a boot takes; SMCU_SLOT_NONE: the built-in model; -1: none at all. */
int32_t glue_boot(void)
{
    model_status = smcu_push_boot();
    return model_status == SMCU_OK ? (int32_t)smcu_push_running() : -1;
}

int32_t glue_packet(uint32_t type, uint32_t n)
{
    const smcu_frame_t packet = {
        .type = (uint8_t)type, .payload = glue_in, .payload_bytes = (size_t)n};

    return smcu_push_packet(&packet, &model_status) ? (int32_t)model_status : 1;
}

/* 1 when the model that runs passes its vectors, and there are any. */
int32_t glue_selftest(void)
{
    const smcu_selftest_result_t result = smcu_selftest_run(&smcu_stream);

    return result.vectors > 0u && result.passed == result.vectors ? 1 : 0;
}

/* First word of the identity of the model that runs. */
uint32_t glue_identity(void)
{
    uint32_t word;

    memcpy(&word, smcu_model_sha256(smcu_session_model()), sizeof(word));
    return word;
}

void smcu_port_write(const uint8_t *bytes, size_t n)
{
    glue_out_bytes = n <= sizeof(glue_out) ? (uint32_t)n : 0u;
    memcpy(glue_out, bytes, glue_out_bytes);
}

bool smcu_cortex_is_hardware(void)
{
    return true;
}

uint32_t smcu_port_micros(void)
{
    return micros += 10u;
}

uint32_t smcu_port_ticks(void)
{
    return 0;
}

uint32_t smcu_port_stack_free(void)
{
    return 0;
}

void smcu_port_alive(void)
{
}

void smcu_port_gate(bool high)
{
    (void)high;
}

const smcu_mic_config_t *smcu_port_mic_config(void)
{
    return NULL;
}

bool smcu_port_mic_start(void)
{
    return false;
}

void smcu_port_mic_stop(void)
{
}
