# MSC in a container.
#
#   docker build -t msc .
#   docker run --rm -v msc-site:/site msc check
#   docker run -d --name msc --stop-timeout 30 -v msc-site:/site -p 9440:9440 msc
#
# A site is made with `docker run --rm -v msc-site:/site msc init /site`, or elsewhere and put into the volume, readable
# and `data/` writable by user id 10001. Set `host = "0.0.0.0"` under [listener] so that stations reach it.
# The monitor stays on the container's own loopback address; the health check reads it from inside.
# The journal grows in the volume (`data/journal`), unless `[journal] url` names a PostgreSQL server. Back it up with
# `docker exec msc msc journal backup /site/msc.toml …`, as docs/the-day.md says; a copy of a volume in use is no backup.

FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements/ requirements/
# The build tool is a locked package too, so that nothing unpinned is ever fetched.
RUN python -m venv /tool \
 && /tool/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/dev.lock
RUN python -m venv /opt/msc \
 && /opt/msc/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY config/ config/
COPY certs/profile.toml certs/profile.toml
COPY msc/ msc/
RUN /tool/bin/python -m hatchling build -t wheel -d dist \
 && /opt/msc/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-index dist/*.whl

FROM python:3.11-slim
COPY --from=build /opt/msc /opt/msc
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin msc \
 && install -d -o msc -g msc -m 750 /site
ENV PATH=/opt/msc/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MSC_CONFIG=/site/msc.toml
USER msc
VOLUME /site
EXPOSE 9440
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, tomllib, urllib.request as u; m = tomllib.load(open(os.environ['MSC_CONFIG'], 'rb'))['monitor']; h = m.get('host', '127.0.0.1'); u.urlopen('http://%s:%d/live' % ('[%s]' % h if ':' in h else h, m['port']), timeout=3)"]
ENTRYPOINT ["msc"]
CMD ["serve"]
