"""How many events each user may send a minute."""

from collections import OrderedDict
from typing import NamedTuple

MINUTE_MS = 60_000


class Counted(NamedTuple):
    minute: int
    events: int


class EventRate:
    """Counts by the minute of the clock, for the `room` users that came last."""

    def __init__(self, per_minute: int, room: int = 100_000) -> None:
        self.per_minute, self.room = per_minute, room
        self._counted: OrderedDict[int, Counted] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counted)

    def takes(self, user_id: int, now_ms: int) -> bool:
        """Count one more event, unless it is one too many."""
        minute = now_ms // MINUTE_MS
        last = self._counted.pop(user_id, None)
        events = last.events if last is not None and last.minute == minute else 0
        is_taken = events < self.per_minute
        self._counted[user_id] = Counted(minute, events + is_taken)
        if len(self._counted) > self.room:
            self._counted.popitem(last=False)
        return is_taken

    def give_back(self, user_id: int, now_ms: int) -> None:
        """What was counted at `now_ms` was not taken after all."""
        last = self._counted.get(user_id)
        if last is not None and last.minute == now_ms // MINUTE_MS:
            self._counted[user_id] = last._replace(events=last.events - 1)
