"""Settings that several methods have, some by flags too (fewshot/flags.py): one check and one sentence each."""

from curate.foundation.options import option
from fewshot.methods.listed import taking

RATE = option(f"Learning rate of AdamW ({taking('lr')}).", gt=0, such_as="1e-5")
DECAY = option("Weight decay of AdamW.", ge=0)
EPOCHS = option(f"Number of passes over the training images ({taking('epochs')}).", ge=1)
BATCH_SIZE = option(f"Number of images in a batch; 0: the number of classes ({taking('batch_size')}).", ge=0)
FOLDS = option("Number of parts of the draw that are held back in turn; 0: none.", ge=0)
SCHEDULE = option("How the learning rate goes: constant, or cosine (down to nothing over the run).")
