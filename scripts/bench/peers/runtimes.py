"""Runtimes that run exported graphs (graphs.py): one class each, `run(graph, {input: array}) -> [array]`."""
import json
import logging
import pathlib

import numpy as np

FUSION = ("question", "context", "step")
GRAPHS = ("dense", "head", *FUSION)


def there(folder: pathlib.Path, graphs=GRAPHS) -> list[str]:
    """Those that were exported to the folder; the large network has no captions."""
    return [g for g in graphs if (folder / f"{g}.onnx").exists()]


class Onnx:
    """ONNX Runtime; int8: weights per channel, activations quantised at run time, convolutions left as floats (as
    ConvInteger they take twice as long)."""

    def __init__(self, folder: pathlib.Path, threads: int, int8: bool, graphs=GRAPHS):
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level, options.enable_mem_reuse = 3, False  # shapes that were exported lie about batches
        self.sessions = {g: ort.InferenceSession(str(self.file(folder, g, int8)), options, ["CPUExecutionProvider"])
                         for g in there(folder, graphs)}

    @staticmethod
    def file(folder: pathlib.Path, graph: str, int8: bool) -> pathlib.Path:
        plain, small = folder / f"{graph}.onnx", folder / f"{graph}.int8.onnx"
        if not int8:
            return plain
        if not small.exists():
            from onnxruntime.quantization import QuantType, quant_pre_process, quantize_dynamic
            ready = folder / f"{graph}.ready.onnx"
            quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
            quantize_dynamic(str(ready), str(small), ["MatMul", "Gemm"], per_channel=True,
                             weight_type=QuantType.QInt8)
            ready.unlink()
        return small

    def run(self, graph, feed):
        return self.sessions[graph].run(None, feed)


class OpenVino:
    """OpenVINO; int8: static quantisation by NNCF, calibrated with what the graph is fed with, what stays in floats in bf16."""

    def __init__(self, folder: pathlib.Path, threads: int, precision: str, graphs=GRAPHS):
        import openvino as ov
        core = ov.Core()
        settings = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "int8" else precision, "INFERENCE_NUM_THREADS": threads,
                    "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        self.requests = {g: core.compile_model(self.file(folder, g, precision == "int8"), "CPU", settings).create_infer_request()
                         for g in there(folder, graphs)}

    @staticmethod
    def file(folder: pathlib.Path, graph: str, int8: bool) -> pathlib.Path:
        plain, small = folder / f"{graph}.onnx", folder / f"{graph}.int8.xml"
        if not int8:
            return plain
        if not small.exists():
            import nncf
            import openvino as ov
            nncf.set_log_level(logging.ERROR)
            nncf_kind = nncf.ModelType.TRANSFORMER if graph in FUSION else None
            fed = dict(np.load(folder / f"{graph}.npz"))
            quantised = nncf.quantize(ov.Core().read_model(plain), nncf.Dataset([fed]), model_type=nncf_kind, subset_size=1,
                                      preset=nncf.QuantizationPreset.MIXED)
            ov.save_model(quantised, small, compress_to_fp16=False)
        return small

    def run(self, graph, feed):
        request = self.requests[graph]
        request.infer(feed, share_inputs=True)
        return [request.get_output_tensor(i).data for i in range(len(request.model_outputs))]


class Mix:
    """The best of both, graph by graph: OpenVINO in bf16 for pictures (as fast as in int8) and in int8 for the region head, ONNX
    Runtime in int8 for words."""

    def __init__(self, folder: pathlib.Path, threads: int):
        self.dense, self.head = OpenVino(folder, threads, "bf16", ("dense",)), OpenVino(folder, threads, "int8", ("head",))
        self.words = Onnx(folder, threads, True, FUSION)

    def run(self, graph, feed):
        return {"dense": self.dense, "head": self.head}.get(graph, self.words).run(graph, feed)


class Torch:
    def __init__(self, folder: pathlib.Path, threads: int, compiled: bool):
        import torch
        from minivlm import MiniVLM

        from peers import graphs
        torch.set_num_threads(threads)
        self.torch = torch
        self.modules = graphs.modules(MiniVLM.from_dir(json.loads((folder / "about.json").read_text())["model"]))
        if compiled:
            self.modules = {name: torch.compile(m, dynamic=name in FUSION) for name, m in self.modules.items()}

    def run(self, graph, feed):
        with self.torch.inference_mode():
            out = self.modules[graph](*(self.torch.from_numpy(x) for x in feed.values()))
        return [t.numpy() for t in (out if isinstance(out, tuple) else (out,))]


# name in the table -> (folder, threads) -> runtime
RUNTIMES = {
    "OpenVINO fp32": lambda folder, threads: OpenVino(folder, threads, "f32"),
    "OpenVINO bf16": lambda folder, threads: OpenVino(folder, threads, "bf16"),
    "OpenVINO int8": lambda folder, threads: OpenVino(folder, threads, "int8"),
    "ONNX Runtime fp32": lambda folder, threads: Onnx(folder, threads, False),
    "ONNX Runtime int8": lambda folder, threads: Onnx(folder, threads, True),
    "mix": Mix,
    "PyTorch eager": lambda folder, threads: Torch(folder, threads, False),
    "PyTorch compiled": lambda folder, threads: Torch(folder, threads, True),
}
