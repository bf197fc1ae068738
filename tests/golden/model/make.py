"""Tiny CLIP models written by transformers and open_clip themselves, for tests/unit/model_goldens_test.c.

    build/parity-venv/bin/python tests/golden/model/make.py

Made with torch 2.13.0, transformers 5.23.0, open_clip_torch 3.3.0, seed 7. `sums.txt` holds, for every weight by the
role that clipspan binds it to, its rows, columns and the weighted sum of its values that the test recomputes.
"""
import json
import pathlib
import sys

import torch

_library = torch.library.Library("torchvision", "DEF")  # so that torchvision imports without its compiled operators
_library.define("nms(Tensor d, Tensor s, float t) -> Tensor")
_library.define("qnms(Tensor d, Tensor s, float t) -> Tensor")

import open_clip  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent


def weighted(t):
    v = t.detach().double().flatten()
    return float((v * (1 + torch.arange(v.numel(), dtype=torch.float64) % 7)).sum())


def fill(module):
    for p in module.parameters():
        torch.nn.init.normal_(p, std=0.5)


def hugging_face():
    config = CLIPConfig(
        text_config=dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12, vocab_size=16,
                         max_position_embeddings=6, eos_token_id=15, bos_token_id=14, hidden_act="gelu"),
        vision_config=dict(hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
                           image_size=8, patch_size=4, hidden_act="gelu"), projection_dim=10)
    model = CLIPModel(config)
    fill(model)
    model.save_pretrained(HERE / "huggingface")
    CLIPImageProcessor(size={"shortest_edge": 9}, crop_size={"height": 8, "width": 8}).save_pretrained(
        HERE / "huggingface")
    v, t = model.vision_model, model.text_model
    rows = [("vision.patch", v.embeddings.patch_embedding.weight), ("vision.class_token", v.embeddings.class_embedding),
            ("vision.position", v.embeddings.position_embedding.weight), ("vision.ln_pre_gamma", v.pre_layrnorm.weight),
            ("vision.ln_pre_beta", v.pre_layrnorm.bias), ("vision.ln_post_gamma", v.post_layernorm.weight),
            ("vision.ln_post_beta", v.post_layernorm.bias), ("vision.projection", model.visual_projection.weight),
            ("text.token", t.embeddings.token_embedding.weight), ("text.position", t.embeddings.position_embedding.weight),
            ("text.ln_final_gamma", t.final_layer_norm.weight), ("text.ln_final_beta", t.final_layer_norm.bias),
            ("text.projection", model.text_projection.weight)]
    for tower, encoder in (("vision", v.encoder), ("text", t.encoder)):
        for i, b in enumerate(encoder.layers):
            a = b.self_attn
            for role, w in (("ln1_gamma", b.layer_norm1.weight), ("ln1_beta", b.layer_norm1.bias),
                            ("ln2_gamma", b.layer_norm2.weight), ("ln2_beta", b.layer_norm2.bias),
                            ("q", a.q_proj.weight), ("k", a.k_proj.weight), ("v", a.v_proj.weight),
                            ("out", a.out_proj.weight), ("q_bias", a.q_proj.bias), ("k_bias", a.k_proj.bias),
                            ("v_bias", a.v_proj.bias), ("out_bias", a.out_proj.bias), ("fc1", b.mlp.fc1.weight),
                            ("fc1_bias", b.mlp.fc1.bias), ("fc2", b.mlp.fc2.weight), ("fc2_bias", b.mlp.fc2.bias)):
                rows.append((f"{tower}.{i}.{role}", w))
    return rows


def open_clip_model(name, custom):
    config = dict(embed_dim=10, quick_gelu=True,
                  vision_cfg=dict(image_size=8, patch_size=4, width=12, layers=2, head_width=4, mlp_ratio=1.7),
                  text_cfg=dict(context_length=6, vocab_size=16, width=8, heads=2, layers=1, mlp_ratio=1.5))
    model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**config)
    fill(model)
    if custom:
        config["custom_text"] = True
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    preprocess = dict(mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6], interpolation="bilinear", resize_mode="squash", size=8)
    (folder / "open_clip_config.json").write_text(
        json.dumps(dict(model_cfg=config, preprocess_cfg=preprocess), indent=2) + "\n")
    save_file({k: w.contiguous() for k, w in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    v, t = model.visual, model.text if custom else model
    rows = [("vision.patch", v.conv1.weight), ("vision.class_token", v.class_embedding),
            ("vision.position", v.positional_embedding), ("vision.ln_pre_gamma", v.ln_pre.weight),
            ("vision.ln_pre_beta", v.ln_pre.bias), ("vision.ln_post_gamma", v.ln_post.weight),
            ("vision.ln_post_beta", v.ln_post.bias), ("vision.projection", v.proj),
            ("text.token", t.token_embedding.weight), ("text.position", t.positional_embedding),
            ("text.ln_final_gamma", t.ln_final.weight), ("text.ln_final_beta", t.ln_final.bias),
            ("text.projection", t.text_projection)]
    for tower, transformer in (("vision", v.transformer), ("text", t.transformer)):
        for i, b in enumerate(transformer.resblocks):
            q, k, value = b.attn.in_proj_weight.chunk(3)
            q_bias, k_bias, v_bias = b.attn.in_proj_bias.chunk(3)
            for role, w in (("ln1_gamma", b.ln_1.weight), ("ln1_beta", b.ln_1.bias), ("ln2_gamma", b.ln_2.weight),
                            ("ln2_beta", b.ln_2.bias), ("q", q), ("k", k), ("v", value), ("out", b.attn.out_proj.weight),
                            ("q_bias", q_bias), ("k_bias", k_bias), ("v_bias", v_bias), ("out_bias", b.attn.out_proj.bias),
                            ("fc1", b.mlp.c_fc.weight), ("fc1_bias", b.mlp.c_fc.bias), ("fc2", b.mlp.c_proj.weight),
                            ("fc2_bias", b.mlp.c_proj.bias)):
                rows.append((f"{tower}.{i}.{role}", w))
    return rows


def write_sums(name, rows):
    lines = [f"{role} {w.shape[0]} {w.numel() // w.shape[0]} {weighted(w)!r}" for role, w in rows]
    (HERE / name / "sums.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    torch.manual_seed(7)
    write_sums("huggingface", hugging_face())
    write_sums("open_clip", open_clip_model("open_clip", False))
    write_sums("custom_text", open_clip_model("custom_text", True))
    sys.exit(0)
