package caddymodule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// TestFormerForward checks that what waits for a destination goes out as it was configured when its forward or its source is gone: what a transform left out
// stays out.
func TestFormerForward(t *testing.T) {
	source := func(more string) string {
		return fmt.Sprintf("handle /from {\n webhook stripe {\n name from\n secret %s\n %s\n }\n}\n", testSecret, more)
	}
	for name, c := range map[string]struct {
		option string
		card   bool // is sent
		dead   bool
	}{
		"original":  {option: "format original", card: true},
		"transform": {option: "format original\n transform jq `{id, type}`"},
		"enrich":    {option: "enrich http://127.0.0.1:1/{event.id}", dead: true},
		"long":      {option: "transform jq `{id, type" + strings.Repeat(" ", maxTransformKept) + "}`", dead: true},
	} {
		for gone, left := range map[string]string{"source": "respond 204", "forward": source("")} {
			t.Run(name+" "+gone, func(t *testing.T) {
				app := startApplication(t, nil)
				options := "destination there {\n to " + app.URL + "\n retry exponential 1ms 1ms for 10ms\n}\n"
				rig := startAdmin(t, "badger", options, source("forward there {\n "+c.option+"\n }"))
				postJSON[destinationView](rig, "/webhooks/destinations/there/pause", nil)
				rig.send("/from", "evt_1", "invoice.paid", `,"card":"4242"`)
				rig.reload(options, left) // the configuration that knew it is gone for good
				if err := caddy.Stop(); err != nil {
					t.Fatal(err)
				}
				rig.reload(options, left)
				postJSON[destinationView](rig, "/webhooks/destinations/there/resume", nil)
				rig.settledAll("there")
				if c.dead {
					_, history, _ := rig.call("GET", "/webhooks/events/"+get[eventPage](rig, "/webhooks/events?state=dead").Events[0].ID.String(), nil)
					if !bytes.Contains(history, []byte("put the forward back")) {
						t.Errorf("died of %s", history)
					}
					return
				}
				var sent struct{ ID string }
				body := app.await(t, 1)[0].body
				if err := json.Unmarshal(body, &sent); err != nil || sent.ID != "evt_1" || bytes.Contains(body, []byte("4242")) != c.card || bytes.Contains(body, []byte("specversion")) {
					t.Errorf("sent %s", body)
				}
			})
		}
	}
}
