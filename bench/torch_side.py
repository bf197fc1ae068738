"""The PyTorch rows of the benchmark, each a process of its own.

    torch_side.py model NAME FOLDER                                    writes an open_clip directory, random weights
    torch_side.py plain|unfactored NAME FOLDER LIST DTYPE THREADS BATCH encodes the images of a text list
"""
import json
import pathlib
import sys

import torch

# torchvision's wheel imports once these operators exist.
_library = torch.library.Library("torchvision", "DEF")
_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import open_clip  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import save_file  # noqa: E402


def write_model(name, folder):
    import shutil
    torch.manual_seed(0)
    model = open_clip.create_model(name, pretrained=None)
    folder = pathlib.Path(folder)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    config = {"model_cfg": open_clip.get_model_config(name),
              "preprocess_cfg": {"mean": list(model.visual.image_mean), "std": list(model.visual.image_std)}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    vocabulary = pathlib.Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    shutil.copy(vocabulary, folder / vocabulary.name)


class Files(torch.utils.data.Dataset):
    def __init__(self, paths, transform):
        self.paths, self.transform = paths, transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        return self.transform(Image.open(self.paths[i]))


def unfactored(visual, pixels):
    """Every head's and token's vector in the joint space, built as tensors: what a direct script does."""
    captured = []

    def keep(block, arguments):
        x = block.ln_1(arguments[0])
        attention = block.attn
        batch, tokens, width = x.shape
        heads, size = attention.num_heads, width // attention.num_heads
        q, k, v = (x @ attention.in_proj_weight.T + attention.in_proj_bias).chunk(3, dim=-1)
        q, k, v = (y.view(batch, tokens, heads, size).transpose(1, 2) for y in (q, k, v))
        alpha = (q[:, :, :1] @ k.transpose(-1, -2) / size**0.5).softmax(-1)  # [B, H, 1, N]
        w = attention.out_proj.weight.T.view(heads, size, width) * visual.ln_post.weight
        by_token = torch.einsum("bhn,bhnd,hdw->bnhw", alpha[:, :, 0], v, w)  # [B, N, H, D]
        captured.append((by_token @ visual.proj).sum(1))

    hooks = [block.register_forward_pre_hook(keep) for block in visual.transformer.resblocks]
    out = visual(pixels)
    for hook in hooks:
        hook.remove()
    return out, torch.stack(captured, 1)


def encode(mode, name, folder, listing, dtype, threads, batch):
    torch.set_num_threads(int(threads))
    model = open_clip.create_model(name, pretrained=None)
    from safetensors.torch import load_file
    model.load_state_dict(load_file(pathlib.Path(folder) / "open_clip_model.safetensors"))
    transform = open_clip.image_transform(model.visual.image_size, is_train=False)
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    model = model.eval().to(kind)
    paths = pathlib.Path(listing).read_text().split("\n")[:-1]
    loader = torch.utils.data.DataLoader(Files(paths, transform), batch_size=int(batch), num_workers=1)
    with torch.inference_mode():
        for pixels in loader:
            if mode == "unfactored":
                for part in pixels.split(2):  # its tensors are gigabytes at larger batches
                    unfactored(model.visual, part.to(kind))
            else:
                model.encode_image(pixels.to(kind))


if __name__ == "__main__":
    if sys.argv[1] == "model":
        write_model(sys.argv[2], sys.argv[3])
    else:
        encode(*sys.argv[1:])
