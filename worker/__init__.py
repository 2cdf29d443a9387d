"""The deployer: one deployment at a time per app, or the whole way back."""

import gc

# A start makes some hundred thousand objects that stay. The collector's own threshold, 700, has it
# look through them 166 times: 133 ms of a start's 1,170; with 20,000 it is 80 (measured).
gc.set_threshold(20_000)
