package caddymodule

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// refuse sends a request signed with a secret that is not live, and returns its id in the quarantine.
func (rig *adminRig) refuse(path, delivery, secret string) string {
	rig.t.Helper()
	body := fmt.Sprintf(`{"id":%q,"card":"4242"}`, delivery)
	header := signedRequest(rig.t, provider(rig.t, "github"), secret, "http://x/", body, time.Now()).Header
	header.Set("X-Github-Delivery", delivery)
	header.Set("X-Github-Event", "push")
	if resp, _ := rig.do(http.MethodPost, path, header, body); resp.StatusCode != 401 {
		rig.t.Fatal(resp.Status)
	}
	id := ""
	eventually(rig.t, "refused request is kept", func() bool {
		for _, r := range get[refusedPage](rig, "/webhooks/quarantine").Requests {
			if string(rig.payloadOf(r.ID)) == body {
				id = r.ID
			}
		}
		return id != ""
	})
	return id
}

// payloadOf is the body of a refused request as the store has it.
func (rig *adminRig) payloadOf(id string) []byte {
	rig.t.Helper()
	app, err := activeApp()
	if err != nil {
		rig.t.Fatal(err)
	}
	rt, err := app.acquire(rig.t.Context())
	if err != nil {
		rig.t.Fatal(err)
	}
	r, err := rt.quarantine.get(rig.t.Context(), id)
	if err != nil {
		rig.t.Fatal(err)
	}
	return r.body
}

func TestAdminQuarantine(t *testing.T) {
	eachStore(t, func(t *testing.T, store string) {
		secret := filepath.Join(t.TempDir(), "secret")
		setSecret := func(value string) {
			if err := os.WriteFile(secret, []byte(value), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		setSecret("right")
		rig := startAdmin(t, store, "", fmt.Sprintf("webhook github {\n secret {file.%s}\n mask card\n}", secret))
		id := rig.refuse("/", "d1", "other-secret")

		page := get[refusedPage](rig, "/webhooks/quarantine?source=github&reason=mismatch&limit=1")
		if len(page.Requests) != 1 || page.Requests[0].ID != id || page.Next != "" {
			t.Fatalf("%+v", page)
		}
		if other := get[refusedPage](rig, "/webhooks/quarantine?source=other"); len(other.Requests) != 0 {
			t.Errorf("of another source: %+v", other)
		}
		detail := get[refusedDetail](rig, "/webhooks/quarantine/"+id)
		if detail.Method != "POST" || detail.Reason != "mismatch" || !slices.Equal(detail.Header["X-Hub-Signature-256"], []string{maskText}) || detail.Size == 0 {
			t.Errorf("%+v", detail)
		}
		if _, body, _ := rig.call("GET", "/webhooks/quarantine/"+id+"/payload", nil); gjson.GetBytes(body, "card").String() != maskText || gjson.GetBytes(body, "id").String() != "d1" {
			t.Errorf("payload: %s", body)
		}
		wantParts(t, "quarantine", rig.good("quarantine"), id, "github", "mismatch")
		wantParts(t, "quarantine id", rig.good("quarantine", "show", id), id, "refused: mismatch", "github (github)", "X-Hub-Signature-256: ***")
		if o := rig.webhooks("quarantine", "show", id, "--raw"); o.code != 0 || !strings.Contains(o.stdout, `"card":"***"`) {
			t.Errorf("quarantine --raw: %+v", o)
		}

		rig.refused("POST", "/webhooks/quarantine/"+id+"/release?dry_run=true", nil, 409, "not_releasable")
		rig.refused("POST", "/webhooks/quarantine/"+id+"/release", nil, 409, "not_releasable")
		setSecret("other-secret")
		eventually(t, "it would verify", func() bool {
			status, _, _ := rig.call("POST", "/webhooks/quarantine/"+id+"/release?dry_run=true", nil)
			return status == 200
		})
		if got := get[refusedPage](rig, "/webhooks/quarantine"); len(got.Requests) != 1 {
			t.Errorf("dry run released: %+v", got)
		}
		wantParts(t, "release", rig.good("quarantine", "release", id), id+" released as event wh_")
		if got := eventIDs(get[eventPage](rig, "/webhooks/events")); !slices.Equal(got, []string{"d1"}) {
			t.Errorf("events: %v", got)
		}
		rig.refused("GET", "/webhooks/quarantine/"+id, nil, 404, "not_found")
		rig.refused("POST", "/webhooks/quarantine/"+id+"/release", nil, 404, "not_found")

		id = rig.refuse("/", "d2", "third-secret")
		several := rig.webhooks("quarantine", "release", id, "rq_0000000000000", "--json")
		wantParts(t, "release of several", several.stdout, `{"error":"`, `"id":"`+id+`"}`, `{"error":"`, `"id":"rq_0000000000000"}`)
		if several.code != exitFailed || strings.Count(several.stderr, id) != 1 {
			t.Errorf("release of several: %+v", several)
		}
		if none := rig.webhooks("quarantine", "release", "--all", "--source", "other"); none.code != 0 || !strings.HasPrefix(none.stderr, "No refused request") {
			t.Errorf("release of none: %+v", none)
		}
		postJSON[refusedView](rig, "/webhooks/quarantine/"+id+"/discard?dry_run=true", nil)
		wantParts(t, "discard --dry-run", rig.good("quarantine", "drop", id, "--dry-run"), "would be removed")
		postJSON[refusedView](rig, "/webhooks/quarantine/"+id+"/discard", nil)
		rig.refused("POST", "/webhooks/quarantine/"+id+"/discard", nil, 404, "not_found")
		if o := rig.webhooks("quarantine", "show", id); o.code != exitNotFound {
			t.Errorf("gone: %+v", o)
		}
		id = rig.refuse("/", "d3", "third-secret")
		if o := rig.webhooks("quarantine", "drop", id, "rq_0000000000000", "--dry-run"); o.code != exitNotFound || !strings.Contains(o.stdout, id) || !strings.Contains(o.stderr, "rq_0000000000000") {
			t.Errorf("drop of several, of which one does not exist: %+v", o)
		}
		if o := rig.webhooks("quarantine", "release"); o.code != exitUsage {
			t.Errorf("without an id: %+v", o)
		}
		var actions []string
		for _, e := range get[auditPage](rig, "/webhooks/audit").Entries {
			actions = append(actions, e.Action)
		}
		if !slices.Equal(actions, []string{"discard", "release"}) {
			t.Errorf("audit: %v", actions)
		}
	})
}
