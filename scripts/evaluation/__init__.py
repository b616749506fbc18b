"""Scores of captions, answers, rankings and boxes, and the trivial answers to hold them against.

    metrics.py    BLEU, ROUGE-L, CIDEr-D, VQA accuracy, recall at k: text in, numbers out; knows no model
    baselines.py  answers that need no understanding
    rows.py       answers as JSON lines
    engine.py     answers of the C engine
    predict.py    answers of the PyTorch reference
    parity.py     the one beside the other"""
