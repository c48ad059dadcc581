/* Port to the ESP32 family on ESP-IDF 5.1 to 5.3: the link on UART0 through IDF's driver, time from
 * esp_timer, ticks from the core's cycle counter (interrupts of the system are in them), an I2S
 * microphone (left channel) through IDF's i2s_std, whose DMA buffers hold 160 ms.
 *
 * Booted and compared in an emulator that has no I2S: the microphone is only compiled. Never run on
 * hardware. */
#include "port.h"

#include "driver/gpio.h"
#ifdef SMCU_MIC
#include "driver/i2s_std.h"
#include "esp_attr.h"
#endif
#include "driver/uart.h"
#include "esp_cpu.h"
#include "esp_random.h"
#include "esp_system.h"
#include "esp_task_wdt.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "microphone.h"
#include "ring.h"
#include "sdkconfig.h"
#include "version.h"

#define LINK UART_NUM_0
#define DRIVER_RING_BYTES 4096
#define RX_FULL_BYTES 64  /* of the FIFO's 128: half is left while the interrupt is on its way */
#define RX_IDLE_SYMBOLS 2 /* of silence: then what came is handed over */
#define WAIT_MS 100
#define MIC_WAIT_MS 20 /* two buffers of the microphone */
#define CPU_HZ (CONFIG_ESP_DEFAULT_CPU_FREQ_MHZ * 1000000u)
#define FAULT_PANIC 0x101u /* IDF's panic handler; it has printed where */

int main(int argc, char **argv);

static smcu_port_info_t info = {.board = SMCU_BOARD,
                                .mcu = SMCU_MCU,
                                .clock_hz = CPU_HZ,
                                .tick_unit = "cycles",
                                .tick_hz = CPU_HZ};
static smcu_port_fault_t fault;
static uint32_t slept_us;

static void start_uart(void)
{
    const uart_config_t config = {.baud_rate = SMCU_BAUD,
                                  .data_bits = UART_DATA_8_BITS,
                                  .parity = UART_PARITY_DISABLE,
                                  .stop_bits = UART_STOP_BITS_1,
                                  .flow_ctrl = UART_HW_FLOWCTRL_DISABLE,
                                  .source_clk = UART_SCLK_DEFAULT};

    ESP_ERROR_CHECK(uart_driver_install(LINK, DRIVER_RING_BYTES, 0, 0, NULL, 0));
    ESP_ERROR_CHECK(uart_param_config(LINK, &config));
    ESP_ERROR_CHECK(uart_set_pin(LINK, SMCU_UART_TX, SMCU_UART_RX, UART_PIN_NO_CHANGE,
                                 UART_PIN_NO_CHANGE));
    ESP_ERROR_CHECK(uart_set_rx_full_threshold(LINK, RX_FULL_BYTES));
    ESP_ERROR_CHECK(uart_set_rx_timeout(LINK, RX_IDLE_SYMBOLS));
}

static void find_fault(void)
{
    switch (esp_reset_reason()) {
    case ESP_RST_PANIC:
        fault.reason = FAULT_PANIC;
        break;
    case ESP_RST_INT_WDT:
    case ESP_RST_TASK_WDT:
    case ESP_RST_WDT:
        fault.reason = SMCU_FAULT_WATCHDOG;
        break;
    default:
        break;
    }
    info.reset_reason = (uint32_t)esp_reset_reason();
}

void smcu_port_init(int argc, char **argv)
{
    static const char greeting[] = "\r\nshiftmcu " SMCU_FW_VERSION " on " SMCU_BOARD "\r\n";

    (void)argc;
    (void)argv;
    find_fault();
    info.boot_id = esp_random();
    ESP_ERROR_CHECK(gpio_set_direction((gpio_num_t)SMCU_GATE, GPIO_MODE_OUTPUT));
    smcu_port_gate(false);
    start_uart();
    ESP_ERROR_CHECK(esp_task_wdt_add(NULL)); /* this task; sdkconfig.defaults sets the seconds */
    smcu_port_write((const uint8_t *)greeting, sizeof(greeting)); /* with its 0x00 */
}

const smcu_port_info_t *smcu_port_info(void)
{
    return &info;
}

uint32_t smcu_port_ticks(void)
{
    return (uint32_t)esp_cpu_get_cycle_count();
}

uint32_t smcu_port_micros(void)
{
    return (uint32_t)esp_timer_get_time();
}

void smcu_port_write(const uint8_t *bytes, size_t n)
{
    (void)uart_write_bytes(LINK, bytes, n); /* without a transmit ring it waits for the FIFO */
}

#ifdef SMCU_MIC

#ifndef SMCU_MIC_WIRED_I2S
#error "the board's file: mic: this port hears I2S only"
#endif

#define MIC_HALF_SAMPLES 160u /* 10 ms */
#define MIC_BUFFERS 16u
#define MIC_RATE_HZ 16000u

static const smcu_mic_config_t mic_config = {.kind = SMCU_MIC_I2S, .channels = 1};
static i2s_chan_handle_t mic; /* NULL: it does not run */
static uint32_t smcu_mic_dma[MIC_HALF_SAMPLES];
static volatile uint32_t mic_overflows; /* the driver threw away its oldest buffer */
static uint32_t mic_overflows_told;

const smcu_mic_config_t *smcu_port_mic_config(void)
{
    return &mic_config;
}

static bool IRAM_ATTR on_overflow(i2s_chan_handle_t handle, i2s_event_data_t *event, void *context)
{
    (void)handle;
    (void)event;
    (void)context;
    mic_overflows++;
    return false;
}

bool smcu_port_mic_start(void)
{
    i2s_chan_config_t channel = I2S_CHANNEL_DEFAULT_CONFIG(I2S_NUM_0, I2S_ROLE_MASTER);
    const i2s_std_config_t format = {
        .clk_cfg = I2S_STD_CLK_DEFAULT_CONFIG(MIC_RATE_HZ),
        .slot_cfg = I2S_STD_PHILIPS_SLOT_DEFAULT_CONFIG(I2S_DATA_BIT_WIDTH_32BIT,
                                                        I2S_SLOT_MODE_MONO),
        .gpio_cfg = {.mclk = I2S_GPIO_UNUSED,
                     .bclk = (gpio_num_t)SMCU_MIC_CLOCK,
                     .ws = (gpio_num_t)SMCU_MIC_WORD,
                     .dout = I2S_GPIO_UNUSED,
                     .din = (gpio_num_t)SMCU_MIC_DATA},
    };
    const i2s_event_callbacks_t callbacks = {.on_recv_q_ovf = on_overflow};

    channel.dma_desc_num = MIC_BUFFERS;
    channel.dma_frame_num = MIC_HALF_SAMPLES;
    mic_overflows_told = mic_overflows;
    if (i2s_new_channel(&channel, NULL, &mic) != ESP_OK) {
        mic = NULL;
        return false;
    }
    if (i2s_channel_init_std_mode(mic, &format) != ESP_OK ||
        i2s_channel_register_event_callback(mic, &callbacks, NULL) != ESP_OK ||
        i2s_channel_enable(mic) != ESP_OK) {
        (void)i2s_del_channel(mic);
        mic = NULL;
    }
    return mic != NULL;
}

void smcu_port_mic_stop(void)
{
    if (mic != NULL) {
        (void)i2s_channel_disable(mic);
        (void)i2s_del_channel(mic);
        mic = NULL;
    }
}

/* One buffer of the driver's, when one is full. */
static void hear(void)
{
    size_t got = 0;

    if (mic == NULL) {
        return;
    }
    const uint32_t overflows = mic_overflows;
    if (overflows != mic_overflows_told) {
        smcu_microphone_lose((overflows - mic_overflows_told) * MIC_HALF_SAMPLES);
        mic_overflows_told = overflows;
    }
    const uint32_t before = smcu_port_micros();
    (void)i2s_channel_read(mic, smcu_mic_dma, sizeof(smcu_mic_dma), &got, MIC_WAIT_MS);
    slept_us += smcu_port_micros() - before;
    smcu_microphone_half(smcu_mic_dma, got);
}

static uint32_t wait_ms(void)
{
    return mic != NULL ? 0u : WAIT_MS; /* the microphone is waited for instead */
}

#else

static void hear(void)
{
}

static uint32_t wait_ms(void)
{
    return WAIT_MS;
}

#endif

uint32_t smcu_port_slept_us(void)
{
    return slept_us;
}

void smcu_port_wait(void)
{
    uint8_t bytes[256];
    const uint32_t room = SMCU_RX_RING_BYTES - smcu_ring_used(&smcu_rx_ring);
    size_t waiting = 0;

    if (room == 0u) {
        return;
    }
    (void)uart_get_buffered_data_len(LINK, &waiting);
    const uint32_t most = (room < sizeof(bytes)) ? room : (uint32_t)sizeof(bytes);
    const uint32_t wanted = (waiting == 0) ? 1u : (waiting < most) ? (uint32_t)waiting : most;
    const uint32_t before = smcu_port_micros();
    const int got = uart_read_bytes(LINK, bytes, wanted, pdMS_TO_TICKS(wait_ms()));
    slept_us += smcu_port_micros() - before; /* the idle task ran: it halts the core */
    hear();
    for (int i = 0; i < got; i++) {
        smcu_ring_put(&smcu_rx_ring, bytes[i]);
    }
}

void smcu_port_alive(void)
{
    (void)esp_task_wdt_reset();
}

void smcu_port_gate(bool high)
{
    (void)gpio_set_level((gpio_num_t)SMCU_GATE, high ? 1u : 0u);
}

#ifdef SMCU_STANDALONE
void smcu_port_pin_start(uint32_t pin)
{
    ESP_ERROR_CHECK(gpio_set_direction((gpio_num_t)pin, GPIO_MODE_OUTPUT));
    smcu_port_pin(pin, false);
}

void smcu_port_pin(uint32_t pin, bool high)
{
    (void)gpio_set_level((gpio_num_t)pin, high ? 1u : 0u);
}
#endif

const smcu_port_fault_t *smcu_port_fault(void)
{
    return (fault.reason != 0u) ? &fault : NULL;
}

uint32_t smcu_port_stack_free(void)
{
    return (uint32_t)uxTaskGetStackHighWaterMark(NULL);
}

void app_main(void)
{
    (void)main(0, NULL);
}
