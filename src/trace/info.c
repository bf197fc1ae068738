/* What each method is called, and whose it is. */
#include "trace/trace.h"

static const clipspan_relevance_info infos[CLIPSPAN_RELEVANCES] = {
    [CLIPSPAN_RAW_ATTENTION] = {"raw-attention", "the last layer's attention of the class token, mean over heads",
                                "Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021", 0, 0, 0},
    [CLIPSPAN_ROLLOUT] = {"rollout", "attention rollout: attention and identity, multiplied through the layers",
                          "Abnar, Zuidema, Quantifying Attention Flow in Transformers, ACL 2020", 0, 0, 0},
    [CLIPSPAN_GRADCAM] = {"gradcam", "GradCAM on the last layer's attention",
                          "Selvaraju et al., Grad-CAM, ICCV 2017; on attention: Chefer, Gur, Wolf, CVPR 2021", 1, 0, 0},
    [CLIPSPAN_PARTIAL_LRP] = {"partial-lrp", "relevance of the last layer's attention, mean over heads",
                              "Voita et al., Analyzing Multi-Head Self-Attention, ACL 2019", 1, 0, 0},
    [CLIPSPAN_LRP] = {"lrp", "layer-wise relevance propagation down to the pixels",
                      "Binder et al., Layer-wise Relevance Propagation for Neural Networks with Local Renormalization "
                      "Layers, ICANN 2016", 1, 0, 1},
    [CLIPSPAN_TRANSFORMER_ATTRIBUTION] = {"transformer-attribution",
                                          "gradient times relevance of every layer's attention, rolled out",
                                          "Chefer, Gur, Wolf, Transformer Interpretability Beyond Attention "
                                          "Visualization, CVPR 2021", 1, 0, 0},
    [CLIPSPAN_GENERIC_ATTENTION] = {"generic-attention", "gradient times attention of every layer, rolled out",
                                    "Chefer, Gur, Wolf, Generic Attention-model Explainability, ICCV 2021", 1, 0, 0},
    [CLIPSPAN_MASKCLIP] = {"maskclip", "MaskCLIP: the last layer's values, projected patch by patch",
                           "Zhou, Loy, Dai, Extract Free Dense Labels from CLIP, ECCV 2022", 1, 1, 0},
    [CLIPSPAN_CLIP_SURGERY] = {"clip-surgery",
                               "CLIP Surgery: value-value attention on a second path, redundant features removed",
                               "Li et al., CLIP Surgery for Better Explainability with Enhancement in "
                               "Open-Vocabulary Tasks, 2023 (arXiv 2304.05653)", 1, 1, 0},
    [CLIPSPAN_SCLIP] = {"sclip", "SCLIP: query-query plus key-key attention in the last layer",
                        "Wang, Mei, Yuille, SCLIP: Rethinking Self-Attention for Dense Vision-Language Inference, "
                        "ECCV 2024", 1, 1, 0},
    [CLIPSPAN_NACLIP] = {"naclip", "NACLIP: key-key attention with a Gaussian neighbourhood in the last layer",
                         "Hajimiri, Ben Ayed, Dolz, Pay Attention to Your Neighbours: Training-Free Open-Vocabulary "
                         "Semantic Segmentation, WACV 2025", 1, 1, 0},
};

const clipspan_relevance_info *clipspan_relevance_get_info(clipspan_relevance method)
{
    if ((int)method < 0 || method >= CLIPSPAN_RELEVANCES) return NULL;
    return &infos[method];
}
