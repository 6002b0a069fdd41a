# The operator's image. What is in it is made by image/rootfs.py, which image/build.py calls where no engine is.
#
#   docker build --tag REGISTRY/taskq-operator:VERSION .
#
# To have the same bytes again, name the base by its digest and give the layers no time of their own:
#   docker build --build-arg PYTHON=docker.io/library/python@sha256:… --build-arg SOURCE_DATE_EPOCH=0 \
#     --output type=image,name=…,rewrite-timestamp=true .

ARG PYTHON=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends binutils
WORKDIR /src
COPY requirements-operator.lock ./
COPY image/rootfs.py image/
COPY operator/taskq operator/taskq
RUN python3 image/rootfs.py /rootfs

FROM scratch
COPY --from=build /rootfs /
ENV PATH=/usr/local/bin \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONNOUSERSITE=1 \
    SSL_CERT_FILE=/app/certifi/cacert.pem \
    MALLOC_MMAP_THRESHOLD_=262144
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/python3", "-m", "taskq"]
