package badgerstore

import "testing"

// TestTailAfter counts what a snapshot does not show, which must not count what was dropped for a newer one.
func TestTailAfter(t *testing.T) {
	var l tail
	want := func(seq uint64, n int, ok bool) {
		t.Helper()
		if got, whole := l.after(seq); got != n || whole != ok {
			t.Errorf("after %d: %d, %v, want %d, %v", seq, got, whole, n, ok)
		}
	}
	want(9, 0, true)
	l.push([]*pending{{seq: 10}, {seq: 11}, {seq: 12}})
	want(9, 3, true)
	want(11, 1, true)
	want(12, 0, true)
	l.drop(10)
	want(9, 0, false)
	want(10, 2, true)
	l.drop(12)
	want(11, 0, false)
	want(12, 0, true)
	want(20, 0, true)
}
