# The broker as an image: built in one stage, run in another without compiler, sources or root.
#
#   docker build -t wsmessagebroker .
#   docker run -d --name broker -p 127.0.0.1:9000:9000 -v wsbroker:/etc/wsbroker wsmessagebroker
#   docker exec -it broker wsbroker passwd add alice
#
# docs/how-to/docker.md explains it. With `--build-arg EXTRAS=[pi]` it has the OTP-Pi as well: docs/how-to/otp-pi-service.md.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# .dockerignore lets through what the wheel is made of, and nothing else.
COPY . .
# Extras of the package in brackets, such as [pi]; empty is the broker alone.
ARG EXTRAS=
RUN python -m venv /opt/wsbroker && /opt/wsbroker/bin/python -m pip install ".${EXTRAS}"

FROM python:${PYTHON}-slim
# A fixed number, so that files outside can be given to it.
RUN useradd --system --uid 10001 --home-dir /etc/wsbroker --shell /usr/sbin/nologin wsbroker \
  && install -d -o wsbroker -g wsbroker -m 0750 /etc/wsbroker \
  && install -d -o wsbroker -g wsbroker -m 0700 /var/lib/otp-pi
COPY --from=build /opt/wsbroker /opt/wsbroker
COPY --from=build /src/deploy/healthcheck.py /opt/wsbroker/healthcheck.py
# 0.0.0.0 is the container's own network; what the world sees is decided by `-p` or `ports:`.
ENV PATH=/opt/wsbroker/bin:$PATH PYTHONUNBUFFERED=1 WSBROKER_HOST=0.0.0.0
USER 10001
# The password file is .htpasswd in here; the accounts outlive the container in a volume.
WORKDIR /etc/wsbroker
VOLUME ["/etc/wsbroker"]
EXPOSE 9000 9001
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
  CMD ["python", "/opt/wsbroker/healthcheck.py"]
ENTRYPOINT ["wsbroker"]
CMD ["serve"]
