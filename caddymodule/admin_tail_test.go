package caddymodule

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestAdminTail(t *testing.T) {
	rig, options, site := startOperated(t, "memory")
	resp, err := rig.client.Get("http://localhost/webhooks/tail?source=payments")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("content type %q", got)
	}
	rig.schema.answer("GET", "/webhooks/tail", resp, nil)
	lines := bufio.NewScanner(resp.Body)
	lines.Scan() // the comment that says that the subscription stands
	rig.send("/careful", "evt_other", "charge.failed", "")
	rig.send("/pay", "evt_1", "charge.failed", "")
	seen := map[string]tailItem{}
	next := func() (name string, item tailItem) {
		for lines.Scan() {
			if event, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				name = event
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var v any
				if err := json.Unmarshal([]byte(data), &v); err != nil {
					t.Fatal(err)
				}
				if name != "end" && name != "missed" {
					rig.schema.value("tail", map[string]any{"$ref": "#/components/schemas/TailItem"}, v)
				}
				if err := json.Unmarshal([]byte(data), &item); err != nil {
					t.Fatal(err)
				}
				return name, item
			}
		}
		t.Fatal("stream ended")
		return "", item
	}
	for len(seen) < 5 {
		name, item := next()
		if name != item.Kind || item.Source != "payments" || item.EventID != "evt_1" {
			t.Fatalf("%s: %+v", name, item)
		}
		seen[item.Kind+" "+item.Destination] = item
	}
	if r := seen["request "]; r.Result != "accepted" || r.Status != 200 || r.Type != "charge.failed" {
		t.Errorf("request: %+v", r)
	}
	if d := seen["delivery bad"]; d.State != "dead" || d.Reason != "status" || d.Status != 500 {
		t.Errorf("delivery: %+v", d)
	}
	rig.do("POST", "/pay", http.Header{"Content-Type": {"application/json"}}, "{}")
	if _, item := next(); item.Result != "refused" || item.Reason != "unsigned" || item.Status != 401 {
		t.Errorf("refusal: %+v", item)
	}
	for _, query := range []string{"kind=odd", "result=nope", "error=nope", "source=a&source=b"} {
		rig.refused("GET", "/webhooks/tail?"+query, nil, 400, "bad_request")
	}
	rig.reload(options, site+"handle /new {\n respond 204\n}\n")
	if name, _ := next(); name != "end" {
		t.Errorf("a reload sent %q, want end", name)
	}
	if lines.Scan() && lines.Text() != "" || lines.Scan() {
		t.Errorf("stream goes on: %q", lines.Text())
	}
	eventually(t, "subscription ends", func() bool { return !live.watched() })
}

// TestSlowTailMissesItems shows that a reader who does not read holds nobody up and learns what it missed.
func TestSlowTailMissesItems(t *testing.T) {
	b := &broadcaster{tails: map[*tail]struct{}{}}
	slow, leave, ok := b.subscribe(nil)
	if !ok {
		t.Fatal("refused")
	}
	for i := range tailBuffer + 10 {
		b.publish(tailItem{Attempt: i})
	}
	if got := slow.missed.Load(); got != 10 {
		t.Errorf("missed %d, want 10", got)
	}
	if first := <-slow.items; first.Attempt != 0 {
		t.Errorf("first item: %+v", first)
	}
	leave()
	var leaves []func()
	for range maxTails {
		_, leave, ok := b.subscribe(nil)
		if !ok {
			t.Fatal("refused too early")
		}
		leaves = append(leaves, leave)
	}
	if _, _, ok := b.subscribe(nil); ok {
		t.Error("no bound on readers")
	}
	for _, leave := range leaves {
		leave()
	}
	if b.watched() {
		t.Error("still watched")
	}
}
