# One image for both halves: `serve` the web process, `worker` the compute. A GPU node uses the same image with CUDA devices passed in.
FROM python:3.11-slim-bookworm AS build
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY governance governance
COPY validators validators
COPY audits audits
COPY workers workers
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --constraint constraints.txt '.[postgres]'

FROM python:3.11-slim-bookworm
# Jobs start inside it where the container's own confinement allows; `manage.py check` says whether it does.
RUN apt-get update && apt-get install --yes --no-install-recommends bubblewrap && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 assay && mkdir /data && chown assay /data
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py ./
ENV PATH=/venv/bin:$PATH ASSAY_HOME=/data PYTHONUNBUFFERED=1
USER assay
VOLUME /data
EXPOSE 8000
CMD ["python", "manage.py", "serve", "--bind", "0.0.0.0:8000"]
