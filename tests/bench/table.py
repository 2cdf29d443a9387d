"""What a bench found: seconds of several rounds, ratios of their medians, and the aims."""

import statistics


class Table:
    """Rows by name, in the order in which they came; `size` is what rates are of, in bytes."""

    def __init__(self, title, size):
        self.title, self.size = title, size
        self.seconds, self.peaks, self.judged = {}, {}, {}

    def add(self, name, seconds):
        """Note one round's seconds; None for what is not on PATH."""
        self.seconds.setdefault(name, []).append(seconds)

    def peak(self, name, megabytes):
        self.peaks[name] = max(megabytes, self.peaks.get(name, 0))

    def median(self, name):
        values = self.seconds[name]
        return None if None in values else statistics.median(values)

    def rate(self, name):
        self.judge(f"{name}, in MB a second", self.size / 1e6 / self.median(name))

    def ratio(self, name, one, other, **aim):
        """Judge how many times as long `one` takes as `other`."""
        top, bottom = self.median(one), self.median(other)
        self.judge(name, None if None in (top, bottom) else top / bottom, **aim)

    def judge(self, name, value, least=None, most=None):
        self.judged[name] = (value, least, most)

    def plain(self):
        """Return it for programs."""
        judged = {
            name: {"value": value, "at_least": least, "at_most": most}
            for name, (value, least, most) in self.judged.items()
        }
        return {"title": self.title, "seconds": self.seconds, "judged": judged}

    def __str__(self):
        lines = [self.title]
        for name, values in self.seconds.items():
            middle = self.median(name)
            shown = "not on PATH"
            if middle is not None:
                shown = f"{middle:8.2f} s  ({min(values):.2f} to {max(values):.2f})"
            lines.append(f"  {name:<48} {shown}")
        for name, (value, least, most) in self.judged.items():
            shown = "not on PATH" if value is None else f"{value:8.2f}"
            lines.append(f"  {name:<48} {shown}{aim(value, least, most)}")
        return "\n".join(lines)


def aim(value, least, most):
    """Return the aim, and whether it is met."""
    if value is None or (least is None and most is None):
        return ""
    met = value >= least if least is not None else value <= most
    wanted = f"at least {least:g}" if least is not None else f"at most {most:g}"
    return f"    {wanted}: {'met' if met else 'MISSED'}"
