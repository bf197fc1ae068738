"""Other engines at the same work: one process each, on the same threads, fed decoded images from memory.

    peers.py model NAME FOLDER               an open_clip directory with random weights, and its tokenizer
    peers.py onnx FOLDER FILE BATCH          its image encoder as an ONNX file, by torch.onnx
    peers.py ENGINE FOLDER --dtype f32|bf16 --batch B --threads T [--onnx FILE]

ENGINE: torch (open_clip's image encoder; bf16: weights and everything else in bf16), onnxruntime (of the ONNX file, fp32),
openvino (of the ONNX file, fp32, or bf16 by its precision hint). The protocol is bench_encoder's (encoder.c), WHAT being
plain; torch also knows
    direct   every head's and token's vector of the class token, as tensors
    all      the same by way of every token's: see all_tokens()
"""
import argparse
import importlib.metadata
import json
import pathlib
import resource
import shutil
import sys
import time


def open_clip_module():
    """open_clip, whose torchvision wheel imports once these two operators exist."""
    import torch
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import open_clip
    open_clip.library_kept = library
    return open_clip


def write_model(name, folder):
    import torch
    from safetensors.torch import save_file
    open_clip = open_clip_module()
    torch.manual_seed(0)
    model = open_clip.create_model(name, pretrained=None)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    config = {"model_cfg": open_clip.get_model_config(name),
              "preprocess_cfg": {"mean": list(model.visual.image_mean), "std": list(model.visual.image_std)}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    vocabulary = pathlib.Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    shutil.copy(vocabulary, folder / vocabulary.name)


def configuration(folder):
    return json.loads((pathlib.Path(folder) / "open_clip_config.json").read_text())["model_cfg"]


def visual_of(folder):
    """The image encoder with the folder's weights, fp32."""
    from safetensors.torch import load_file
    config, state = configuration(folder), load_file(pathlib.Path(folder) / "open_clip_model.safetensors")
    open_clip = open_clip_module()
    model = open_clip.CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"],
                           quick_gelu=config.get("quick_gelu", False))
    model.load_state_dict(state)
    return model.visual.eval()


def write_onnx(folder, path, batch):
    """Of a fixed batch: what an engine can plan best. Traced without the fused fast paths, which ONNX has no names for."""
    import torch
    torch.backends.mha.set_fastpath_enabled(False)
    visual, size = visual_of(folder), configuration(folder)["vision_cfg"]["image_size"]
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        torch.onnx.export(visual, torch.zeros(batch, 3, size, size), path, input_names=["pixels"], dynamo=False,
                          output_names=["embedding"], opset_version=17)


# ---- decompositions in PyTorch -------------------------------------------------------------------------------------

def attention_of(block, x):
    """alpha [B, H, N, N], v [B, H, N, d] of a block whose input is x [B, N, D]."""
    attention, x = block.attn, block.ln_1(x)
    batch, tokens, width = x.shape
    heads, size = attention.num_heads, width // attention.num_heads
    q, k, v = (x @ attention.in_proj_weight.T + attention.in_proj_bias).chunk(3, dim=-1)
    q, k, v = (y.view(batch, tokens, heads, size).transpose(1, 2) for y in (q, k, v))
    return (q @ k.transpose(-1, -2) / size**0.5).softmax(-1), v


def output_of(visual, block, heads):
    """[H, d, D]: a head's slice of the out-projection, scaled by ln_post."""
    w = block.attn.out_proj.weight.T
    return w.view(heads, w.shape[0] // heads, w.shape[1]) * visual.ln_post.weight


def class_token(visual, block, x):
    """[B, N, H, E]: each head's vector from each token, for the class token as the only query."""
    import torch
    alpha, v = attention_of(block, x)
    by_token = torch.einsum("bhn,bhnd,hdw->bnhw", alpha[:, :, 0], v, output_of(visual, block, v.shape[1]))
    return by_token @ visual.proj


def all_tokens(visual, block, x):
    """What one gets who keeps alpha v for every query, source and head as a tensor [B, N, N, H, d], projects it whole, and
    takes the class token at the end: our own code for that way of working, not the published program."""
    import torch
    alpha, v = attention_of(block, x)
    terms = torch.einsum("bhqn,bhnd->bqnhd", alpha, v)  # gigabytes
    by_head = torch.einsum("bqhd,hdw->bqhw", terms.sum(2), output_of(visual, block, v.shape[1]))
    by_token = torch.einsum("bnhd,hdw->bnhw", terms[:, 0], output_of(visual, block, v.shape[1]))
    return (by_head[:, 0] - by_token.sum(1)).abs().amax(), by_token @ visual.proj


def decomposed(visual, pixels, terms):
    kept = []
    hooks = [block.register_forward_pre_hook(lambda block, inputs: kept.append(terms(visual, block, inputs[0])))
             for block in visual.transformer.resblocks]
    out = visual(pixels)
    for hook in hooks:
        hook.remove()
    return out, kept


# ---- engines: a function that runs one batch -----------------------------------------------------------------------

def torch_engine(args, pixels):
    import torch
    torch.set_num_threads(args.threads)
    kind = torch.bfloat16 if args.dtype == "bf16" else torch.float32
    visual, batch = visual_of(args.folder).to(kind), torch.from_numpy(pixels).to(kind)

    def run(what, images):
        with torch.inference_mode():
            part = batch[:images]
            return visual(part) if what == "plain" else decomposed(visual, part, terms[what])
    terms = {"direct": class_token, "all": all_tokens}
    return run, "torch " + torch.__version__


def onnxruntime_engine(args, pixels):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = args.threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    session = onnxruntime.InferenceSession(args.onnx, options, providers=["CPUExecutionProvider"])
    return lambda what, images: session.run(None, {"pixels": pixels}), "onnxruntime " + onnxruntime.__version__


def openvino_engine(args, pixels):
    import openvino
    core = openvino.Core()
    compiled = core.compile_model(args.onnx, "CPU", {"INFERENCE_NUM_THREADS": args.threads, "NUM_STREAMS": 1,
                                                     "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": args.dtype})
    request = compiled.create_infer_request()
    return lambda what, images: request.infer({"pixels": pixels}), "openvino " + importlib.metadata.version("openvino")


ENGINES = {"torch": torch_engine, "onnxruntime": onnxruntime_engine, "openvino": openvino_engine}


def serve(args):
    import numpy
    size = configuration(args.folder)["vision_cfg"]["image_size"]
    pixels = numpy.random.default_rng(0).standard_normal((args.batch, 3, size, size), dtype=numpy.float32)
    run, library = ENGINES[args.engine](args, pixels)
    print(json.dumps({"ready": True, "library": library, "batch": args.batch, "threads": args.threads}), flush=True)
    for line in sys.stdin:
        what, wanted = line.split()
        # A decomposition's tensors are gigabytes: it may be asked for less than a batch.
        done, each, began = 0, args.batch if what == "plain" else min(args.batch, int(wanted)), time.monotonic()
        while done < int(wanted):
            run(what, each)
            done += each
        print(json.dumps({"images": done, "seconds": time.monotonic() - began}), flush=True)
    print(json.dumps({"megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}), flush=True)


def main():
    if sys.argv[1] == "model":
        return write_model(sys.argv[2], sys.argv[3])
    if sys.argv[1] == "onnx":
        return write_onnx(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("folder")
    parser.add_argument("--dtype", default="f32", choices=("f32", "bf16"))
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--onnx")
    serve(parser.parse_args())


if __name__ == "__main__":
    main()
