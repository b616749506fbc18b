"""What the documents show: commands that run, the answers that they print, and pictures drawn from measured figures.

    scripts/documents.sh      after the model, the page or SPEED.md has changed: makes all of it again"""
