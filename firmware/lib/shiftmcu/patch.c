#include "patch.h"

#include <string.h>

void smcu_patch_bytes(const smcu_conv_t *conv, uint32_t output, uint8_t *bytes)
{
    const smcu_layer_t *layer = conv->layer;
    const uint32_t out_width = smcu_model_out_width(layer);
    const uint32_t position = output / out_width;
    const uint32_t middle = (output - position * out_width) * layer->stride_f; /* < in_width */
    const uint32_t before = (layer->kernel_f - 1u) / 2u;
    const uint32_t behind = middle + layer->kernel_f - before;
    const uint32_t begin = middle > before ? middle - before : 0;
    const uint32_t end = behind < layer->in_width ? behind : layer->in_width;
    const uint32_t row_bytes = (uint32_t)layer->in_width * layer->c_in;
    const uint32_t count = (end - begin) * layer->c_in;
    const uint8_t *in = conv->in + position * layer->stride * row_bytes + begin * layer->c_in;
    memset(bytes, 0, smcu_model_taps(layer));
    bytes += (begin + before - middle) * layer->c_in;
    for (uint32_t row = layer->kernel; row > 0; row--) {
        memcpy(bytes, in, count);
        in += row_bytes;
        bytes += (uint32_t)layer->kernel_f * layer->c_in;
    }
}
