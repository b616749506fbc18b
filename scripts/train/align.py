"""A start for the regions' projection: from what a region means to the words that mean it.

The TEE stage taught each region to vote for caption words: logits = W f. The fusion knows words as embeddings E. So
E^T W f, centred and scaled, is the embedding of what a region votes for, and the transformer meets regions as blends of
words it already knows instead of as noise. On two cores this is the difference between captions that learn to look
within minutes and captions that are a language model for half an hour."""
import torch

from train.scenes import Scenes


@torch.no_grad()
def align(model, words_file, scenes: Scenes, vocabulary, pictures=400) -> None:
    """Sets fusion.regions of `model`; words_file is words.pt of the TEE stage."""
    taught = torch.load(words_file, map_location="cpu", weights_only=True)
    embeddings = model.fusion.embeddings.word.weight
    known = [(n, ids) for n, word in enumerate(taught["words"]) if (ids := model.tokenizer.encode(word))]
    targets = torch.stack([embeddings[ids].mean(0) for _, ids in known]) - embeddings[vocabulary].mean(0)  # [W, D]
    votes = taught["weight"][[n for n, _ in known]].to(targets.device)  # [W, H]
    project = targets.T @ votes  # [D, H]
    files = scenes.files[::max(1, len(scenes.files) // pictures)]
    aligned, _, valid, _, _ = scenes.batch(files, [0] * len(files))
    features = model.tee.roi.features(aligned)[valid]  # [n, H]
    mean = features.mean(0)
    scale = 1.0 / ((features - mean) @ project.T).std()
    regions, hidden = model.fusion.regions, project.shape[1]
    regions.project.weight[:, :hidden] = project * scale
    regions.project.weight[:, hidden:].normal_(std=0.3)  # the geometry
    regions.project.bias.copy_(-(project @ mean) * scale)
    regions.norm.weight.copy_(model.fusion.embeddings.norm.weight)
    regions.norm.bias.copy_(model.fusion.embeddings.norm.bias)
