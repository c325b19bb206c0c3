"""Builds and installs the servers of the integration tests, where they are not there yet: minutes, before any test."""

from concurrent.futures import ThreadPoolExecutor

from tests import mlflow_server
from tests.servers import FAKE_GCS_SERVER, go_binary

if __name__ == "__main__":
    with ThreadPoolExecutor() as pool:  # one compiles while the other waits for the package registry
        for made in (pool.submit(go_binary, FAKE_GCS_SERVER), pool.submit(mlflow_server.program)):
            print(made.result())
