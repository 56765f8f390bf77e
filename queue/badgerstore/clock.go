package badgerstore

import "time"

// A clock that was ahead for a while has written times that come much later. Nothing may wait for them.

// fromFuture reports whether something has a time that a clock gave which was ahead. What came since now was read is none of that.
func fromFuture(at, now int64) bool { return at > now+clockSlack }

// happened returns when something happened: what seems to come from the future a second ago, so that it is young, and old enough where room is short.
func happened(at int64, now time.Time) int64 {
	if fromFuture(at, nanos(now)) {
		return nanos(now.Add(-time.Second))
	}
	return at
}
