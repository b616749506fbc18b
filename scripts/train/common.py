"""What every training stage needs: schedule by time or steps, logs, checkpoints, averaged weights."""
import json
import pathlib
import time

import torch
import torch.distributed as dist
from minivlm.conv import fold


class Run:
    """One stage's progress. A budget is minutes of wall time, or steps, or both (whichever ends first); the learning rate
    follows the part of it that is used up. State survives in `folder`/last.pt, so that a stopped run goes on."""

    def __init__(self, folder, minutes=None, steps=None, warm_up=0.03, save_minutes=4.0, end=0.02):
        if minutes is None and steps is None:
            raise ValueError("a run needs minutes or steps")
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.minutes, self.steps, self.warm_up, self.end = minutes, steps, warm_up, end
        self.step, self.before, self.started = 0, 0.0, time.time()
        self.saved, self.save_minutes = time.time(), save_minutes
        self.sums, self.counts = {}, {}

    @property
    def elapsed(self) -> float:
        """Seconds, earlier runs included."""
        return self.before + time.time() - self.started

    @property
    def progress(self) -> float:
        parts = [self.elapsed / (60 * self.minutes)] if self.minutes else []
        parts += [self.step / self.steps] if self.steps else []
        return max(parts)

    @property
    def done(self) -> bool:
        return self.progress >= 1.0

    def rate(self) -> float:
        """Factor of the learning rate: linear warm-up, then a straight line down to `end`."""
        p = min(1.0, self.progress)
        if p < self.warm_up:
            return max(p, 1e-3) / self.warm_up
        return self.end + (1 - self.end) * (1 - p) / (1 - self.warm_up)

    def add(self, **values):
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach() if isinstance(value, torch.Tensor) else value)
            self.counts[name] = self.counts.get(name, 0) + 1

    def report(self, every: int, **extra):
        """Prints and logs the means since the last report, at every `every` steps."""
        if (self.step % every and not extra) or rank():
            return
        row = {name: round(self.sums[name] / self.counts[name], 4) for name in self.sums}
        row = {"stage": self.folder.name, "step": self.step, "minutes": round(self.elapsed / 60, 2), **row, **extra}
        self.sums, self.counts = {}, {}
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        bar = "#" * int(20 * min(1.0, self.progress))
        print(f"[{bar:<20}] " + " ".join(f"{k} {v}" for k, v in row.items() if k != "stage"), flush=True)

    def save(self, state: dict, force=False):
        if rank() == 0 and (force or time.time() - self.saved > 60 * self.save_minutes):
            state = {**state, "run": {"step": self.step, "elapsed": self.elapsed}}
            torch.save(state, self.folder / "last.tmp")
            (self.folder / "last.tmp").replace(self.folder / "last.pt")
            self.saved = time.time()

    def resume(self) -> dict | None:
        file = self.folder / "last.pt"
        if not file.exists():
            return None
        state = torch.load(file, map_location="cpu", weights_only=True)
        self.step, self.before = state["run"]["step"], state["run"]["elapsed"]
        return state


def fitting(model, state):
    """Loads weights from before or after the folding of batch-norms; `model` is folded where they are."""
    if not any(".bn." in name for name in state):
        fold(model)
    model.load_state_dict(state)
    return model


class Average:
    """Exponential moving average of the weights: what is validated and shipped."""

    def __init__(self, model, decay=0.999):
        self.decay, self.count = decay, 0
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model):
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        mine, theirs, fixed = [], [], {n for n, p in model.named_parameters() if not p.requires_grad}
        for k, v in model.state_dict().items():
            if k in fixed:
                continue
            if v.dtype.is_floating_point:
                mine.append(self.state[k])
                theirs.append(v)
            else:
                self.state[k].copy_(v)
        torch._foreach_lerp_(mine, theirs, 1 - decay)


def optimiser(groups, weight_decay=0.05):
    """AdamW over (module or parameters, rate) groups; vectors are not decayed."""
    out = []
    for part, rate in groups:
        parameters = [p for p in (part.parameters() if hasattr(part, "parameters") else part) if p.requires_grad]
        out.append({"params": [p for p in parameters if p.dim() > 1], "base": rate, "lr": rate,
                    "weight_decay": weight_decay})
        out.append({"params": [p for p in parameters if p.dim() <= 1], "base": rate, "lr": rate, "weight_decay": 0.0})
    return torch.optim.AdamW([g for g in out if g["params"]], betas=(0.9, 0.98), eps=1e-6, fused=True)


def cast(half: bool):
    """bf16 where the machine multiplies it faster. Without autocast's cache: it holds the weights of its first use until
    the outermost autocast ends, and that may be a whole run."""
    return torch.autocast(torch.get_default_device().type, torch.bfloat16, enabled=half, cache_enabled=False)


def join(rank: int, world: int, port: int) -> None:
    """Several processes, each on its own part of every batch. On cores that others use too, two processes of one thread
    wait for each other once a step; two threads of one process would wait at every operation."""
    if world > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def share_gradients(parameters) -> None:
    """Mean over the processes; all of them took the same task, so the same parameters have gradients."""
    if world() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= world()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
        gradient.copy_(part.view_as(gradient))


def over(run: "Run") -> bool:
    """Whether the run is done. All processes follow the first one's clock."""
    if world() > 1:
        now = torch.tensor([run.elapsed, float(run.done)], dtype=torch.float64)
        dist.broadcast(now, 0)
        run.before += float(now[0]) - run.elapsed
        return bool(now[1])
    return run.done


def step(opt, loss, run: Run, clip=1.0):
    """One update with the gradient cut to length `clip`."""
    for group in opt.param_groups:
        group["lr"] = group["base"] * run.rate()
    opt.zero_grad(set_to_none=True)
    loss.backward()
    share_gradients([p for g in opt.param_groups for p in g["params"]])
    torch.nn.utils.clip_grad_norm_([p for g in opt.param_groups for p in g["params"]], clip)
    opt.step()
    run.step += 1


class Shuffle:
    """Endless passes over a list in random order; those that share a `key` come one after the other, so that a batch has
    fewer pictures than questions. `share`: item -> how likely it takes part in a pass."""

    def __init__(self, items, generator, key=None, share=None):
        self.items, self.generator, self.order, self.share = list(items), generator, [], share
        groups: dict = {}
        for n, item in enumerate(self.items):
            groups.setdefault(key(item) if key else n, []).append(n)
        self.groups = list(groups.values())

    def takes_part(self, n: int) -> bool:
        return self.share is None or float(torch.rand((), generator=self.generator, device="cpu")) < self.share(self.items[n])

    def take(self, count: int) -> list:
        out: list = []
        while len(out) < count:
            if not self.order:
                order = torch.randperm(len(self.groups), generator=self.generator, device="cpu").tolist()
                self.order = [n for g in order for n in self.groups[g] if self.takes_part(n)]
            out.append(self.items[self.order.pop()])
        return out
