package caddymodule

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// TestDeepJSON sends JSON that is nested beyond all reason: it is carried as bytes, and refused where it must be read.
func TestDeepJSON(t *testing.T) {
	app := startApplication(t, nil)
	g := startGateway(t, "", `handle /any {
		webhook none {
			unsigned_ok
			max_body 10MiB
			mask a.b
			forward `+app.URL+`/bytes
			forward `+app.URL+`/program {
				transform jq .
			}
			forward `+app.URL+`/when {
				when "event.data[0][0] == 1"
			}
		}
	}
	handle /json {
		webhook stripe {
			secret `+testSecret+`
			forward `+app.URL+`/json
		}
	}`)
	deep := strings.Repeat("[", 9_500_000)
	if resp, text := g.do(http.MethodPost, "/any", http.Header{"Content-Type": {"application/json"}}, deep); resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	var ce struct {
		Data       json.RawMessage `json:"data"`
		DataBase64 []byte          `json:"data_base64"`
	}
	r := app.await(t, 1)[0]
	if err := json.Unmarshal(r.body, &ce); err != nil || string(ce.DataBase64) != deep || ce.Data != nil {
		t.Errorf("%s: %d bytes, data of %d bytes (%v)", r.path, len(ce.DataBase64), len(ce.Data), err)
	}
	eventually(t, "deliveries", func() bool {
		page, err := runningStore(t).Events(t.Context(), queue.Filter{})
		if err != nil || len(page.Events) != 1 {
			return false
		}
		states := map[queue.State]int{}
		for _, d := range page.Events[0].Deliveries {
			states[d.State]++
		}
		return states[queue.StateDelivered] == 1 && states[queue.StateDead] == 1 // what cannot be given to a program is dead
	})
	valid := `{"id":"evt_1","type":"ping","a":` + nested(verifiers.MaxJSONDepth, "") + "}"
	resp, text := g.sendSigned(provider(t, "stripe"), testSecret, "/json", valid, now())
	wantProblem(t, resp, text, http.StatusBadRequest)
}
