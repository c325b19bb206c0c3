# The image that workers run. Build:
#   docker build -t REPOSITORY:TAG --build-arg CATDOG_REVISION=$(git rev-parse HEAD) .
#   docker build -t REPOSITORY:TAG-cuda --build-arg VARIANT=cuda --build-arg CATDOG_REVISION=$(git rev-parse HEAD) .

# Anything with Python 3.11 to 3.13, venv and pip; the last stage runs on it too.
ARG BASE_IMAGE=python:3.12-slim
# cpu or cuda: which of requirements/*.txt, and what the last stage sets.
ARG VARIANT=cpu

FROM ${BASE_IMAGE} AS build
ARG VARIANT
# Bytecode is compiled here: the root of a running container is read-only.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv --without-pip /opt/catdog
COPY requirements/${VARIANT}.txt /src/requirements.txt
RUN pip --python /opt/catdog/bin/python install --require-hashes --only-binary=:all: -r /src/requirements.txt
COPY pyproject.toml README.md LICENSE /src/
COPY trainer /src/trainer
COPY k8s /src/k8s
# The build backend is in the lock, so nothing unpinned comes in.
RUN pip --python /opt/catdog/bin/python install --no-deps --no-build-isolation /src

FROM ${BASE_IMAGE}
# A name for the user: some libraries ask who runs them.
RUN echo "catdog:x:10001:10001:catdog:/tmp:/usr/sbin/nologin" >> /etc/passwd \
 && echo "catdog:x:10001:" >> /etc/group
COPY --from=build /opt/catdog /opt/catdog
# Only /tmp is writable in a pod. The last two are for the CUDA variant and idle in the other: GKE mounts the driver's
# libraries there, and NVIDIA's container runtime asks what to mount. NVIDIA_VISIBLE_DEVICES is left to the device
# plugin: "all" in an image gives every GPU of a node to pods that asked for none.
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
