"""A dictionary whose smallest value comes out first, and whose values may change at any time: our proposal for `heapdict.py`, all written anew.

Entries `[value, key, place]` stand in a heap where each has BRANCHES below it. An entry that moves leaves a hole; what it passes moves into
the hole, and it is put down once, at its end. A new value for a known key moves its entry from where it stands.
"""

from collections.abc import MutableMapping

BRANCHES = 2


class heapdict(MutableMapping):
    def __init__(self, *args, **kw):
        self.heap, self.d = [], {}
        self.update(*args, **kw)

    def clear(self):
        self.heap.clear()
        self.d.clear()

    def __getitem__(self, key):
        return self.d[key][0]

    def __contains__(self, key):
        return key in self.d

    def __iter__(self):
        return iter(self.d)

    def __len__(self):
        return len(self.d)

    def __setitem__(self, key, value):
        entry = self.d.get(key)
        if entry is None:
            entry = self.d[key] = [value, key, len(self.heap)]
            self.heap.append(entry)
            self._up(entry)
            return
        entry[0] = value
        self._settle(entry)

    def __delitem__(self, key):
        self._take(self.d.pop(key))

    def peekitem(self):
        """The key with the smallest value, and the value; an IndexError where there is none."""
        entry = self.heap[0]
        return entry[1], entry[0]

    def popitem(self):
        """As `peekitem`, and takes it out."""
        entry = self.heap[0]
        del self.d[entry[1]]
        self._take(entry)
        return entry[1], entry[0]

    def _take(self, entry):
        last = self.heap.pop()
        if last is not entry:
            last[2] = entry[2]
            self._settle(last)

    def _settle(self, entry):
        """Puts down an entry whose place in the heap is free, and whose value may be any."""
        self._up(entry)
        self._down(entry)

    def _up(self, entry):
        heap, value, place = self.heap, entry[0], entry[2]
        while place:
            above = (place - 1) // BRANCHES
            other = heap[above]
            if not value < other[0]:
                break
            heap[place] = other
            other[2] = place
            place = above
        heap[place] = entry
        entry[2] = place

    def _down(self, entry):
        heap, value, place = self.heap, entry[0], entry[2]
        size = len(heap)
        below = place * BRANCHES + 1
        while below < size:
            least = heap[below]
            for other in heap[below + 1 : below + BRANCHES]:
                if other[0] < least[0]:
                    least = other
            if not least[0] < value:
                break
            below = least[2]
            heap[place] = least
            least[2] = place
            place = below
            below = place * BRANCHES + 1
        heap[place] = entry
        entry[2] = place


__all__ = ["heapdict"]
