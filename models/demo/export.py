"""Writes a checkpoint of train.py as a Hugging Face directory.

    python export.py CHECKPOINT clipspan-demo [average|model]

The weights in f16 under transformers' names: the running average (usual), or the
latest step's, which are better while the average still trails behind."""
import json
import math
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import CLIPTokenizer

import bpe
import net


def block_names(tensors, mine, theirs, width):
    """One block: q, k and v come apart."""
    out = {}
    for kind in ("weight", "bias"):
        qkv = tensors[f"{mine}.qkv.{kind}"].split(width)
        for letter, part in zip("qkv", qkv):
            out[f"{theirs}.self_attn.{letter}_proj.{kind}"] = part
        for a, b in (("out", "self_attn.out_proj"), ("ln1", "layer_norm1"), ("ln2", "layer_norm2"),
                     ("fc1", "mlp.fc1"), ("fc2", "mlp.fc2")):
            out[f"{theirs}.{b}.{kind}"] = tensors[f"{mine}.{a}.{kind}"]
    return out


def rename(tensors):
    vision, text = "vision_model", "text_model"
    patch = tensors["vision.patch.weight"].view(net.WIDTH, 3, net.PATCH, net.PATCH)
    out = {
        f"{vision}.embeddings.patch_embedding.weight": patch,
        f"{vision}.embeddings.class_embedding": tensors["vision.cls"],
        f"{vision}.embeddings.position_embedding.weight": tensors["vision.position"],
        f"{text}.embeddings.token_embedding.weight": tensors["text.token.weight"],
        f"{text}.embeddings.position_embedding.weight": tensors["text.position"],
        "visual_projection.weight": tensors["vision.project.weight"],
        "text_projection.weight": tensors["text.project.weight"],
        "logit_scale": tensors["logit_scale"].clamp(max=math.log(60)),
    }
    for kind in ("weight", "bias"):
        out[f"{vision}.pre_layrnorm.{kind}"] = tensors[f"vision.ln_pre.{kind}"]
        out[f"{vision}.post_layernorm.{kind}"] = tensors[f"vision.ln_post.{kind}"]
        out[f"{text}.final_layer_norm.{kind}"] = tensors[f"text.ln_post.{kind}"]
    for i in range(net.LAYERS):
        out.update(block_names(tensors, f"vision.blocks.{i}", f"{vision}.encoder.layers.{i}", net.WIDTH))
    for i in range(net.TEXT_LAYERS):
        out.update(block_names(tensors, f"text.blocks.{i}", f"{text}.encoder.layers.{i}", net.TEXT_WIDTH))
    return {k: v.to(torch.float16).contiguous().clone() for k, v in out.items()}


def configuration(tokenizer):
    start, end = tokenizer.vocab[bpe.START], tokenizer.vocab[bpe.END]
    common = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-05, "attention_dropout": 0.0,
              "projection_dim": net.JOINT}
    text = {"model_type": "clip_text_model", "vocab_size": len(tokenizer.vocab),
            "hidden_size": net.TEXT_WIDTH, "intermediate_size": net.TEXT_INNER,
            "num_hidden_layers": net.TEXT_LAYERS, "num_attention_heads": net.TEXT_HEADS,
            "max_position_embeddings": net.CONTEXT, "bos_token_id": start, "eos_token_id": end,
            "pad_token_id": end, **common}
    vision = {"model_type": "clip_vision_model", "image_size": net.SIDE, "patch_size": net.PATCH,
              "num_channels": 3, "hidden_size": net.WIDTH, "intermediate_size": net.INNER,
              "num_hidden_layers": net.LAYERS, "num_attention_heads": net.HEADS, **common}
    return {"architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": net.JOINT,
            "logit_scale_init_value": 2.6592, "initializer_factor": 1.0, "dtype": "float16",
            "text_config": text, "vision_config": vision}


PREPROCESSOR = {
    "crop_size": {"height": net.SIDE, "width": net.SIDE}, "do_center_crop": True,
    "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    "image_processor_type": "CLIPImageProcessor", "resample": 3, "rescale_factor": 1 / 255,
    "size": {"shortest_edge": net.SIDE}}


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def main():
    saved = torch.load(sys.argv[1], weights_only=True)
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    tokenizer = bpe.Tokenizer(saved["merges"])
    tokenizer.save(folder)
    which = sys.argv[3] if len(sys.argv) > 3 else "average"
    save_file(rename(saved[which]), folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", configuration(tokenizer))
    write_json(folder / "preprocessor_config.json", PREPROCESSOR)
    special = {"bos_token": bpe.START, "eos_token": bpe.END, "pad_token": bpe.END,
               "unk_token": bpe.END}
    write_json(folder / "special_tokens_map.json", special)
    write_json(folder / "tokenizer_config.json",
               {**special, "tokenizer_class": "CLIPTokenizer", "model_max_length": net.CONTEXT,
                "do_lower_case": True, "errors": "replace", "add_prefix_space": False})
    # the same vocabulary once more in one file, for readers that want only that
    CLIPTokenizer.from_pretrained(folder).backend_tokenizer.save(str(folder / "tokenizer.json"))
    print(f"{folder}: {which} at step {saved['step']}, {(folder / 'model.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()
