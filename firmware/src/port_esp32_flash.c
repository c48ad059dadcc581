/* The model slots of the ESP32 family: the partitions model_a and model_b of partitions.csv, read
 * through the cache where ESP-IDF maps them (ESP-IDF 5.1 to 5.3, "Partitions API").
 *
 * Run in an emulator, never on hardware. */
#include "port.h"
#include "slots.h"

#ifdef SMCU_PUSH

#include "esp_partition.h"

#define ERASE_BYTES 65536u /* at once: about half a second */

static const esp_partition_t *partitions[SMCU_SLOTS];
static const uint8_t *mapped[SMCU_SLOTS];

/* Encrypted flash cannot be written word by word: no slots there. */
static bool find(uint32_t slot)
{
    static const char *const names[SMCU_SLOTS] = {"model_a", "model_b"};
    const esp_partition_t *found = esp_partition_find_first(ESP_PARTITION_TYPE_DATA,
                                                            ESP_PARTITION_SUBTYPE_ANY, names[slot]);
    esp_partition_mmap_handle_t handle;
    const void *place = NULL;

    if (found == NULL || found->size < SMCU_PUSH_SLOT_BYTES || found->encrypted ||
        esp_partition_mmap(found, 0, SMCU_PUSH_SLOT_BYTES, ESP_PARTITION_MMAP_DATA, &place,
                           &handle) != ESP_OK) {
        return false;
    }
    partitions[slot] = found;
    mapped[slot] = place;
    return true;
}

uint32_t smcu_port_slot_bytes(void)
{
    for (uint32_t slot = 0; slot < SMCU_SLOTS; slot++) {
        if (mapped[slot] == NULL && !find(slot)) {
            return 0;
        }
    }
    return SMCU_PUSH_SLOT_BYTES;
}

const uint8_t *smcu_port_slot(uint32_t slot)
{
    return mapped[slot];
}

bool smcu_port_slot_erase(uint32_t slot)
{
    for (uint32_t at = 0; at < SMCU_PUSH_SLOT_BYTES; at += ERASE_BYTES) {
        smcu_port_alive();
        if (esp_partition_erase_range(partitions[slot], at, ERASE_BYTES) != ESP_OK) {
            return false;
        }
    }
    return true;
}

bool smcu_port_slot_write(uint32_t slot, uint32_t at, const uint8_t *bytes, uint32_t n)
{
    return esp_partition_write(partitions[slot], at, bytes, n) == ESP_OK;
}

#endif
