#!/bin/sh
# A run in 16 shards as a Slurm job array, and their merge once all of them are done: sh slurm-shards.sh
# Every shard goes on where it stopped when this is started again, and ends at once if it is finished.
shards=16
array=$(sbatch --parsable --array=1-$shards --job-name=certify --gpus=1 --cpus-per-task=8 --time=24:00:00 --requeue \
    --open-mode=append --output=shard-%a.log --wrap "smoothcert certify --config run.yaml --quiet \
    --shard \$SLURM_ARRAY_TASK_ID/$shards --out shards/\$SLURM_ARRAY_TASK_ID")
sbatch --dependency=afterok:"$array" --job-name=merge --output=merge.log --wrap "smoothcert merge shards/* --out RUN"
