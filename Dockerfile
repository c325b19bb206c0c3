# The image of the workers. To build it:
#   docker build -t REPOSITORY:TAG --build-arg CATDOG_REVISION=$(git rev-parse HEAD) .
#   docker build -t REPOSITORY:TAG-cuda --build-arg VARIANT=cuda --build-arg CATDOG_REVISION=$(git rev-parse HEAD) .

# Any image with Python 3.11 to 3.13, venv and pip; also the base of the last stage.
ARG BASE_IMAGE=python:3.12-slim
# cpu or cuda: selects requirements/VARIANT.txt and the image's label dev.catdog.variant.
ARG VARIANT=cpu

FROM ${BASE_IMAGE} AS dependencies
ARG VARIANT
# Bytecode is compiled at build time: the root file system of a running container is read-only.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv --without-pip /opt/catdog
COPY requirements/${VARIANT}.txt /src/requirements.txt
RUN pip --python /opt/catdog/bin/python install --require-hashes --only-binary=:all: -r /src/requirements.txt

FROM dependencies AS project
COPY pyproject.toml README.md LICENSE /src/
COPY trainer /src/trainer
COPY k8s /src/k8s
# The build backend is in the lock, so nothing unpinned is installed. In a folder of its own, catdog becomes a layer of
# its own: after a change, nodes and registries get that alone, and keep TensorFlow's.
RUN pip --python /opt/catdog/bin/python install --prefix /opt/project --no-deps --no-build-isolation /src

FROM ${BASE_IMAGE}
# The user needs a name: some libraries look it up.
RUN echo "catdog:x:10001:10001:catdog:/tmp:/usr/sbin/nologin" >> /etc/passwd \
 && echo "catdog:x:10001:" >> /etc/group
COPY --from=dependencies /opt/catdog /opt/catdog
COPY --from=project /opt/project /opt/catdog
# Only /tmp is writable in a pod. The last two variables matter only for the CUDA variant: GKE mounts the driver's
# libraries at that path, and NVIDIA's container runtime reads which capabilities to mount. NVIDIA_VISIBLE_DEVICES is
# left to the device plugin: "all" in an image exposes every GPU of a node to pods that requested none.
ENV PATH=/opt/catdog/bin:$PATH \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1 \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

ARG VARIANT
ARG CATDOG_REVISION=""
ENV CATDOG_REVISION=${CATDOG_REVISION}
LABEL org.opencontainers.image.title="catdog" \
      org.opencontainers.image.description="Trains image classifiers, on one node or several" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${CATDOG_REVISION}" \
      dev.catdog.variant="${VARIANT}"
WORKDIR /tmp
USER 10001:10001
ENTRYPOINT ["python", "-m", "trainer"]
