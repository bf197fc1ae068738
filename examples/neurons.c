/* The most important MLP neurons of a store that was written with neurons: neurons STORE [LAYER] */
#include <stdio.h>
#include <stdlib.h>

#include <clipspan/neurons.h>

static clipspan_status show(const clipspan_store *store, const clipspan_neurons *neurons, int layer, clipspan_error *err)
{
    const clipspan_neurons_info *info = clipspan_neurons_get_info(neurons);
    clipspan_neuron best[5];
    clipspan_neuron_image images[CLIPSPAN_NEURONS_TOP_MOST];
    size_t found = 0;
    unsigned char *layers = calloc((size_t)info->layers, 1);
    if (layers == NULL) return CLIPSPAN_ERROR_MEMORY;
    if (layer >= 0 && layer < info->layers) layers[layer] = 1;
    clipspan_status status = clipspan_neurons_rank(neurons, CLIPSPAN_PAPER, CLIPSPAN_NEURONS_BY_RMS,
                                                   layer < 0 ? NULL : layers, best, 5, &found, err);
    for (size_t i = 0; i < found; i++) {
        size_t shown = clipspan_neuron_images(neurons, best[i].layer, best[i].neuron, 0, images);
        printf("L%d.N%d: %.4f long, %.2f%% of the MLP term's variance; most active in %s\n", best[i].layer, best[i].neuron,
               best[i].rms, 100.0 * best[i].share,
               shown ? clipspan_store_image_name(store, (size_t)images[0].image) : "none");
    }
    free(layers);
    return status;
}

int main(int argc, char **argv)
{
    clipspan_error err = {0};
    clipspan_store *store = NULL;
    clipspan_neurons *neurons = NULL;
    if (argc < 2) return 2;
    clipspan_status status = clipspan_store_open(&store, argv[1], &err);
    if (status == CLIPSPAN_OK) status = clipspan_store_neurons(store, &neurons, &err);
    if (status == CLIPSPAN_OK) status = show(store, neurons, argc > 2 ? atoi(argv[2]) : -1, &err);
    if (status != CLIPSPAN_OK) fprintf(stderr, "%s\n", err.message);
    clipspan_neurons_free(neurons);
    clipspan_store_free(store);
    return status != CLIPSPAN_OK;
}
