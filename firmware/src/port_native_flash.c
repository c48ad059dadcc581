#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include "port_native_flash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "port.h"
#include "slots.h"

#define FLASH_BYTES (SMCU_SLOTS * SMCU_PUSH_SLOT_BYTES)
#define ERASED 0xffu

static uint8_t *flash;
static uint32_t bytes_left; /* until the power fails */
static bool power_fails;

/* Every changed byte is one operation, and none of them is half done. */
static void change(uint8_t *at, uint8_t to)
{
    if (*at == to) {
        return;
    }
    if (power_fails && bytes_left-- == 0u) {
        _exit(SMCU_NATIVE_POWER_CUT);
    }
    *at = to;
}

static bool map(int flags, int file)
{
    void *place = mmap(NULL, FLASH_BYTES, PROT_READ | PROT_WRITE, flags, file, 0);

    flash = (place == MAP_FAILED) ? NULL : place;
    return flash != NULL;
}

static bool map_file(const char *path, bool *is_new)
{
    struct stat facts;
    const int file = open(path, O_RDWR | O_CREAT, 0666);

    if (file < 0 || fstat(file, &facts) != 0) {
        return false;
    }
    *is_new = facts.st_size == 0;
    if (!*is_new && facts.st_size != (off_t)FLASH_BYTES) {
        errno = EINVAL;
        return false;
    }
    const bool is_open = ftruncate(file, (off_t)FLASH_BYTES) == 0 && map(MAP_SHARED, file);
    (void)close(file); /* the mapping stays */
    return is_open;
}

bool smcu_native_flash_open(const char *path)
{
    bool is_new = true;

    if (path == NULL ? !map(MAP_PRIVATE | MAP_ANONYMOUS, -1) : !map_file(path, &is_new)) {
        return false;
    }
    if (is_new) {
        memset(flash, ERASED, FLASH_BYTES);
    }
    return true;
}

void smcu_native_flash_cut(uint32_t bytes)
{
    power_fails = true;
    bytes_left = bytes;
}

uint32_t smcu_port_slot_bytes(void)
{
    return SMCU_PUSH_SLOT_BYTES;
}

const uint8_t *smcu_port_slot(uint32_t slot)
{
    return flash + slot * SMCU_PUSH_SLOT_BYTES;
}

bool smcu_port_slot_erase(uint32_t slot)
{
    uint8_t *start = flash + slot * SMCU_PUSH_SLOT_BYTES;

    for (uint32_t i = 0; i < SMCU_PUSH_SLOT_BYTES; i++) {
        change(start + i, ERASED);
    }
    return true;
}

bool smcu_port_slot_write(uint32_t slot, uint32_t at, const uint8_t *bytes, uint32_t n)
{
    uint8_t *start = flash + slot * SMCU_PUSH_SLOT_BYTES + at;

    for (uint32_t i = 0; i < n; i++) {
        change(start + i, start[i] & bytes[i]);
    }
    return true;
}
