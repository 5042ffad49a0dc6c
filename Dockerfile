# The server of pages and the HTTP API: `docker build -t edgesr . && docker run --rm -p 127.0.0.1:7860:7860 edgesr` (docs/deployment.md).
ARG NODE=docker.io/library/node:22-slim
ARG PYTHON=docker.io/library/python:3.13-slim

FROM ${NODE} AS page
WORKDIR /build
COPY web/package.json web/package-lock.json web/
RUN npm --prefix web ci
COPY web web
COPY examples examples
COPY src/edgesr/weights src/edgesr/weights
RUN npm --prefix web run build

FROM ${PYTHON} AS package
WORKDIR /build
RUN python3 -m venv /opt/edgesr
COPY pyproject.toml hatch_build.py README.md LICENSE CHANGELOG.md ./
COPY src src
COPY --from=page /build/src/edgesr/serve/page src/edgesr/serve/page
RUN EDGESR_PAGE=skip /opt/edgesr/bin/pip install --no-cache-dir --no-compile '.[serve]' \
    && /opt/edgesr/bin/pip uninstall --yes --quiet pip \
    && find /opt/edgesr -type d -name tests -prune -exec rm -r {} + # of the libraries

FROM ${PYTHON}
COPY --from=package /opt/edgesr /opt/edgesr
ENV PATH=/opt/edgesr/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/health', timeout=4)"]
ENTRYPOINT ["edgesr"]
CMD ["serve", "--host", "0.0.0.0", "--access-log"]
