"""What open_clip and Hugging Face make of a picture file: the references that the pixels are compared with."""
import json
import os
import warnings

import numpy as np
import torch
from PIL import Image, ImageOps

_operators = torch.library.Library("torchvision", "DEF")
_operators.define("nms(Tensor d, Tensor s, float t) -> Tensor")
_operators.define("qnms(Tensor d, Tensor s, float t) -> Tensor")
warnings.filterwarnings("ignore")

from open_clip.transform import PreprocessCfg, image_transform, image_transform_v2, merge_preprocess_dict  # noqa: E402
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil  # noqa: E402

PILLOW_FILTERS = {"nearest": 0, "bilinear": 2, "bicubic": 3}


def opened(path, exif):
    image = Image.open(path)
    return ImageOps.exif_transpose(image) if exif else image


def open_clip(mode, interpolation, size, fill=0):
    transform = image_transform(size, is_train=False, resize_mode=mode, interpolation=interpolation, fill_color=fill)
    return lambda path, exif=False: transform(opened(path, exif)).numpy()


def huggingface(mode, interpolation, size, resize):
    target = {"height": resize, "width": resize} if mode == "squash" else {"shortest_edge": resize}
    processor = CLIPImageProcessorPil(size=target, resample=PILLOW_FILTERS[interpolation],
                                      crop_size={"height": size, "width": size})

    def run(path, exif=False):
        return np.asarray(processor(opened(path, exif), return_tensors="np")["pixel_values"][0], dtype=np.float32)

    return run


def of_model(directory):
    """The preprocessing that a model directory's own program reads from it."""
    path = os.path.join(directory, "open_clip_config.json")
    if os.path.exists(path):
        with open(path) as file:
            config = json.load(file)
        settings = merge_preprocess_dict(PreprocessCfg(), config.get("preprocess_cfg", {}))
        settings["size"] = config["model_cfg"]["vision_cfg"]["image_size"]
        transform = image_transform_v2(PreprocessCfg(**settings), is_train=False)
        return lambda path, exif=False: transform(opened(path, exif)).numpy()
    processor = CLIPImageProcessorPil.from_pretrained(directory)

    def run(path, exif=False):
        return np.asarray(processor(opened(path, exif), return_tensors="np")["pixel_values"][0], dtype=np.float32)

    return run
