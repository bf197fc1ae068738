"""Random models at full size, in the files that open_clip and transformers write, and those programs' own answers.

Freshly initialised networks are nearly degenerate: attention is uniform, every gamma is 1, every beta and bias 0, so
that many mistakes would not show. `perturb` makes gammas, betas and biases random, sharpens attention and gives
position and class embeddings weight.
"""
import gc
import gzip
import json
import math
import os

import numpy as np
import reference  # noqa: F401  (defines the operators that torchvision asks for, before anything imports it)
import torch
from PIL import Image

import open_clip  # noqa: E402
import open_clip.tokenizer  # noqa: E402
from open_clip.transform import PreprocessCfg, image_transform_v2  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer  # noqa: E402
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil  # noqa: E402

import decomposition  # noqa: E402

CONTEXT = 77


def built_in(name):
    """open_clip's own configuration of that name, a copy."""
    return json.loads(json.dumps(open_clip.get_model_config(name)))


def small_config():
    """Odd sizes everywhere: head widths 40 and 48, a patch of 12 that leaves 4 pixels over, an MLP ratio that cuts, no ln_pre, tanh-gelu."""
    tanh = {"approximate": "tanh"}
    return {"embed_dim": 200,
            "vision_cfg": {"image_size": 100, "patch_size": 12, "width": 240, "layers": 6, "head_width": 40,
                           "mlp_ratio": 3.51, "no_ln_pre": True, "act_kwargs": tanh},
            "text_cfg": {"context_length": CONTEXT, "vocab_size": 49408, "width": 192, "heads": 4, "layers": 3,
                         "act_kwargs": tanh}}


# name -> (layout, configuration, options)
MODELS = {
    "small-open_clip": ("open_clip", small_config, {"preprocess": {"interpolation": "bilinear"}}),
    "small-huggingface": ("huggingface", small_config, {"activation": "gelu_pytorch_tanh"}),
    "B-32-huggingface": ("huggingface", lambda: built_in("ViT-B-32-quickgelu"), {"activation": "quick_gelu"}),
    "B-16-open_clip": ("open_clip", lambda: built_in("ViT-B-16"), {}),
    "B-16-huggingface": ("huggingface", lambda: built_in("ViT-B-16"), {"activation": "gelu", "dtype": torch.float16}),
    "B-16-quickgelu-open_clip": ("open_clip", lambda: built_in("ViT-B-16-quickgelu"), {"custom_text": True}),
    "B-16-bare": ("bare", lambda: built_in("ViT-B-16"), {"config": "ViT-B-16"}),
    "L-14-open_clip": ("open_clip", lambda: built_in("ViT-L-14"), {"dtype": torch.bfloat16}),
    "L-14-huggingface": ("huggingface", lambda: built_in("ViT-L-14"), {"activation": "quick_gelu", "shards": "600MB"}),
    "H-14-open_clip": ("open_clip", lambda: built_in("ViT-H-14"), {}),
    "H-14-huggingface": ("huggingface", lambda: built_in("ViT-H-14"), {"activation": "gelu"}),
}
REDUCED = ["small-open_clip", "small-huggingface", "B-32-huggingface", "B-16-open_clip"]
FULL = list(MODELS)


# ---- weights --------------------------------------------------------------------------------------------


def _is_norm(name):
    return any(part in name for part in ("ln_", "norm", "layrnorm"))


@torch.no_grad()
def perturb(model, seed):
    """Every parameter in place, by its name; the same for both layouts."""
    generator = torch.Generator().manual_seed(seed)

    def noise(p):
        return torch.randn(p.shape, generator=generator)

    for name, p in model.named_parameters():
        if name == "logit_scale":
            p.fill_(math.log(60.0))
        elif _is_norm(name) and name.endswith("weight"):
            p.mul_(1 + 0.3 * noise(p))
        elif _is_norm(name) or name.endswith("bias"):
            p.add_(0.1 * noise(p))
        elif name.endswith("in_proj_weight"):
            width = p.shape[1]
            p.copy_(noise(p) / math.sqrt(width))
            p[: 2 * width].mul_(1.5)  # queries and keys: scores with a deviation of two or so
        elif name.endswith(("q_proj.weight", "k_proj.weight")):
            p.copy_(1.5 * noise(p) / math.sqrt(p.shape[1]))
        elif name.endswith(("v_proj.weight", "out_proj.weight", "mlp.fc1.weight", "c_fc.weight")):
            p.copy_(noise(p) / math.sqrt(p.shape[1]))
        elif name.endswith(("mlp.fc2.weight", "c_proj.weight")):
            p.copy_(0.7 * noise(p) / math.sqrt(p.shape[1]))
        elif "position" in name or "class_embedding" in name or "token_embedding" in name:
            p.copy_(0.5 * noise(p))
        else:  # patches and projections
            p.copy_(noise(p) * (p.numel() / p.shape[0]) ** -0.5)


def vocabulary_files(folder):
    """vocab.json and merges.txt of CLIP's own vocabulary, from the merges that open_clip brings."""
    lines = gzip.open(open_clip.tokenizer.default_bpe()).read().decode("utf-8").split("\n")
    merges = lines[1:49152 - 256 - 2 + 1]
    symbols = list(open_clip.tokenizer.bytes_to_unicode().values())
    tokens = symbols + [s + "</w>" for s in symbols] + ["".join(m.split()) for m in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as file:
        json.dump({token: i for i, token in enumerate(tokens)}, file, ensure_ascii=False)
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n" + "\n".join(merges) + "\n")


def rounded(model, dtype):
    """Weights as they are on disk, computed with in fp32."""
    return model if dtype is None else model.to(dtype).float()


class OpenClip:
    """A model of open_clip, written to `folder` as open_clip lays it out."""

    def __init__(self, folder, config, seed, dtype=None, custom_text=False, preprocess=None, bare=None):
        kind = open_clip.CustomTextCLIP if custom_text else open_clip.CLIP
        self.model = kind(**config).eval()
        perturb(self.model, seed)
        self.model = rounded(self.model, dtype)
        self.folder, self.size = folder, config["vision_cfg"]["image_size"]
        self.transform = image_transform_v2(PreprocessCfg(size=self.size, **(preprocess or {})), is_train=False)
        self.tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=CONTEXT)
        self._save(config, dtype, custom_text, preprocess, bare)

    def _save(self, config, dtype, custom_text, preprocess, bare):
        state = {k: v.to(dtype or v.dtype).contiguous() for k, v in self.model.state_dict().items()}
        save_file(state, os.path.join(self.folder, "open_clip_model.safetensors"), metadata={"format": "pt"})
        if bare:
            return
        if custom_text:
            config = dict(config, custom_text=True)
        with open(os.path.join(self.folder, "open_clip_config.json"), "w") as file:
            json.dump({"model_cfg": config, "preprocess_cfg": preprocess or {}}, file, indent=2)
        vocabulary_files(self.folder)

    def ids(self, text):
        row = [self.tokenizer.sot_token_id] + self.tokenizer.encode(text) + [self.tokenizer.eot_token_id]
        if len(row) > CONTEXT:
            row = row[:CONTEXT]
            row[-1] = self.tokenizer.eot_token_id
        return row

    def pixels(self, path):
        return self.transform(Image.open(path)).numpy()

    @torch.no_grad()
    def encode_images(self, pixels):
        return np.concatenate([self.model.encode_image(torch.from_numpy(p)[None]).numpy() for p in pixels])

    @torch.no_grad()
    def encode_texts(self, texts):
        return self.model.encode_text(self.tokenizer(texts)).numpy()

    def tower(self):
        return decomposition.from_open_clip(self.model.visual)


class HuggingFace:
    """A CLIPModel of transformers, written to `folder` by save_pretrained."""

    def __init__(self, folder, config, seed, activation, dtype=None, shards="50GB"):
        self.folder = folder
        self.model = CLIPModel(self._config(config, activation)).eval()
        perturb(self.model, seed)
        self.model = rounded(self.model, dtype)
        size = config["vision_cfg"]["image_size"]
        self.processor = CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
        vocabulary_files(folder)
        self.tokenizer = CLIPTokenizer.from_pretrained(folder)
        self.tokenizer.model_max_length = CONTEXT
        saved = self.model if dtype is None else self.model.to(dtype)
        saved.save_pretrained(folder, max_shard_size=shards)
        self.model = self.model.float()
        self.processor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @staticmethod
    def _config(config, activation):
        vision, text = config["vision_cfg"], config["text_cfg"]
        ratio = vision.get("mlp_ratio", 4.0)
        return CLIPConfig(
            projection_dim=config["embed_dim"],
            vision_config=dict(hidden_size=vision["width"], num_hidden_layers=vision["layers"], hidden_act=activation,
                               num_attention_heads=vision["width"] // vision.get("head_width", 64),
                               intermediate_size=int(vision["width"] * ratio), image_size=vision["image_size"],
                               patch_size=vision["patch_size"]),
            text_config=dict(hidden_size=text["width"], num_hidden_layers=text["layers"], hidden_act=activation,
                             num_attention_heads=text["heads"], intermediate_size=4 * text["width"],
                             vocab_size=text["vocab_size"], max_position_embeddings=text["context_length"]))

    def ids(self, text):
        return self.tokenizer(text, truncation=True, max_length=CONTEXT)["input_ids"]

    def pixels(self, path):
        found = self.processor(Image.open(path), return_tensors="np")["pixel_values"][0]
        return np.asarray(found, dtype=np.float32)

    @torch.no_grad()
    def encode_images(self, pixels):
        model = self.model
        rows = [model.visual_projection(model.vision_model(torch.from_numpy(p)[None]).pooler_output) for p in pixels]
        return torch.cat(rows).numpy()

    @torch.no_grad()
    def encode_texts(self, texts):
        model, rows = self.model, []
        for i in range(0, len(texts), 32):
            batch = self.tokenizer(texts[i:i + 32], truncation=True, max_length=CONTEXT, padding="max_length",
                                   return_tensors="pt")
            rows.append(model.text_projection(model.text_model(**batch).pooler_output))
        return torch.cat(rows).numpy()

    def tower(self):
        return decomposition.from_hugging_face(self.model)


def make(name, folder, seed=0):
    """The reference of that name, its files in `folder`, and the options that clipspan needs to open it."""
    layout, config, options = MODELS[name]
    os.makedirs(folder, exist_ok=True)
    torch.manual_seed(seed)
    options = dict(options)
    if layout == "huggingface":
        return HuggingFace(folder, config(), seed, **options), folder, []
    if layout == "bare":
        model = OpenClip(folder, config(), seed, bare=True)
        vocabulary = open_clip.tokenizer.default_bpe()
        return (model, os.path.join(folder, "open_clip_model.safetensors"),
                ["--config", options["config"], "--vocab", vocabulary])
    return OpenClip(folder, config(), seed, **options), folder, []


def forget():
    gc.collect()
