package verifiers

import (
	"testing"
	"time"
)

// TestEventTime reads times as providers write them.
func TestEventTime(t *testing.T) {
	want := time.Date(2009, 3, 26, 21, 35, 57, 0, time.UTC)
	for _, text := range []string{
		"1238103357", "1238103357000", "1238103357.25", "2009-03-26T21:35:57Z", "2009-03-26T22:35:57+01:00", "2009-03-26T21:35:57", "2009-03-26 21:35:57",
		"Thu, 26 Mar 2009 21:35:57 GMT",
	} {
		if got := eventTime("auto", text); !got.Equal(want) {
			t.Errorf("%q: %s", text, got)
		}
	}
	if got := eventTime("auto", "2009-03-26 21:35:57.319"); !got.Equal(want.Add(319 * time.Millisecond)) {
		t.Errorf("with a fraction: %s", got)
	}
	for _, text := range []string{"", "yesterday", "2009-03-26 ", "2009-03-26 25:00:00", "-1", "99999999999999999999"} {
		if got := eventTime("auto", text); !got.IsZero() {
			t.Errorf("%q: %s", text, got)
		}
	}
}
