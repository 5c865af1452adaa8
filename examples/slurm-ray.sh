#!/bin/bash
# One run on all GPUs of a Slurm allocation, by Ray: sbatch slurm-ray.sh
# Submit it again to resume. "ray symmetric-run" (Ray 2.49 or later) starts Ray on every node, runs the command on the
# first, and in the end stops all Ray there is on the nodes: they must be whole ones. The token keeps strangers out.
#SBATCH --job-name=certify --nodes=4 --exclusive --ntasks-per-node=1 --gpus-per-node=8 --cpus-per-task=64 --time=24:00:00
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
RAY_AUTH_TOKEN=$(openssl rand -hex 32)
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
srun ray symmetric-run --address "$head:6379" --min-nodes "$SLURM_NNODES" -- \
    smoothcert certify --config run.yaml --engine ray --address auto --out RUN
