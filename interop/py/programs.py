"""Our `pub` and `sub` programs: started with the flags a person gives them."""

from processes import BIN, Process, run, wait_until


def _common(server, scheme, version):
    trust = ["--cafile", server.ca] if scheme in ("tls", "wss") else []
    return ["--url", server.url(scheme), "-V", version, *trust]


def pub(server, scheme, version, *args, stdin=b""):
    """Runs to its end, which must be a good one."""
    done = run(BIN / "pub", *_common(server, scheme, version), *args, stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return done


class Sub(Process):
    """The body of the `with` begins once it has subscribed."""

    def __init__(self, server, scheme, version, *args):
        super().__init__(BIN / "sub", *_common(server, scheme, version), *args)

    def __enter__(self):
        try:
            # A resumed session delivers before SUBACK: `-C` may be reached by then.
            wait_until(lambda: b"subscribed" in self.err or self.ended(), f"{self.command} subscribes")
            assert b"subscribed" in self.err or self.wait() == 0, self.err.decode()
        except BaseException:
            self.kill()
            raise
        return self

    def finish(self):
        """What it wrote to stdout, once it has ended by itself and well."""
        assert self.wait() == 0, self.err.decode()
        return bytes(self.out)
