package caddymodule

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestOrderWithin sends three events of one object in the wrong order, and one of another that nobody has to wait for.
func TestOrderWithin(t *testing.T) {
	const within = 3 * time.Second
	app := startApplication(t, nil)
	g := startGateway(t, "", fmt.Sprintf("webhook stripe {\n secret %s\n forward %s {\n order by json:object within %s by json:happened\n}\n}", testSecret, app.URL, within))
	now := time.Now()
	send := func(id, object string, ago time.Duration) {
		t.Helper()
		body := fmt.Sprintf(`{"id":%q,"type":"a.b","object":%q,"happened":%q}`, id, object, now.Add(-ago).Format(time.RFC3339Nano))
		if resp, answer := g.sendSigned(provider(t, "stripe"), testSecret, "/", body, now); resp.StatusCode != 200 {
			t.Fatalf("ack: %d %s", resp.StatusCode, answer)
		}
	}
	send("third", "a", 100*time.Millisecond)
	send("first", "a", 300*time.Millisecond)
	send("second", "a", 200*time.Millisecond)
	send("late", "b", time.Minute)
	var order []string
	for i, r := range app.await(t, 4) {
		for _, id := range []string{"late", "first", "second", "third"} {
			if strings.Contains(string(r.body), fmt.Sprintf(`"id":%q,"type":"a.b","object"`, id)) {
				order = append(order, id)
			}
		}
		if earliest := now.Add(-300 * time.Millisecond).Add(within); i > 0 && r.at.Before(earliest) {
			t.Errorf("%s went out %s too early", order[i], earliest.Sub(r.at))
		}
	}
	if got := strings.Join(order, " "); got != "late first second third" {
		t.Errorf("delivered in the order %q", got)
	}
}

func TestParseWhen(t *testing.T) {
	want := time.Date(2026, 3, 4, 5, 6, 7, 250_000_000, time.UTC)
	for _, text := range []string{
		"1772600767.25", "1772600767250", "1772600767250000", "1772600767250000000", "2026-03-04T05:06:07.25Z", "2026-03-04T06:06:07.250+01:00", " 1772600767250\n",
	} {
		if got, ok := parseWhen(text); !ok || !got.Equal(want) {
			t.Errorf("%q is %v (%t), want %v", text, got, ok, want)
		}
	}
	if got, ok := parseWhen("1772600767"); !ok || !got.Equal(want.Truncate(time.Second)) {
		t.Errorf("seconds: %v", got)
	}
	for _, text := range []string{"", "soon", "-5", "0", "NaN", "Inf", "1e300", "99999999999999999999999", "0001-01-01T00:00:00Z"} {
		if got, ok := parseWhen(text); ok {
			t.Errorf("%q is %v, want none", text, got)
		}
	}
}
