package caddymodule

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// refuseSigned posts a body signed with a secret that is not live, and returns its id in the quarantine.
func (rig *adminRig) refuseSigned(id, path, body, secret string) string {
	rig.t.Helper()
	if resp, _ := rig.sendSigned(provider(rig.t, id), secret, path, body, time.Now()); resp.StatusCode != 401 {
		rig.t.Fatal(resp.Status)
	}
	var page refusedPage
	eventually(rig.t, "the refused request is kept", func() bool {
		page = get[refusedPage](rig, "/webhooks/quarantine?limit=1")
		return len(page.Requests) == 1 && string(rig.payloadOf(page.Requests[0].ID)) == body
	})
	return page.Requests[0].ID
}

// awaitSecret changes a secret's file and waits until a request would be released with it, or would not for another reason than its signature.
func (rig *adminRig) awaitSecret(file, value, id, want string) {
	rig.t.Helper()
	if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
		rig.t.Fatal(err)
	}
	eventually(rig.t, "the new secret is live", func() bool {
		_, answer, _ := rig.call(http.MethodPost, "/webhooks/quarantine/"+id+"/release?dry_run=true", nil)
		return strings.Contains(string(answer), want)
	})
}

// TestReleaseOfAHandshake has a provider's question refused for a wrong secret. With the right one it verifies, and still is no event.
func TestReleaseOfAHandshake(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	rig := startAdmin(t, "memory", "", fmt.Sprintf("webhook slack {\n secret {file.%s}\n dedup off\n}", secret))
	id := rig.refuseSigned("slack", "/", `{"type":"url_verification","token":"t","challenge":"c"}`, "right")
	rig.awaitSecret(secret, "right", id, "is a handshake")
	rig.refused(http.MethodPost, "/webhooks/quarantine/"+id+"/release", nil, 409, "not_releasable")
	if o := rig.webhooks("quarantine", "release", "--all"); o.code != exitFailed || !strings.Contains(o.stderr, id+" cannot be released: it is a handshake") {
		t.Errorf("release: %+v", o)
	}
	if page := get[eventPage](rig, "/webhooks/events"); len(page.Events) != 0 {
		t.Errorf("it became %+v", page.Events)
	}
	wantParts(t, "drop", rig.good("quarantine", "drop", id), id)
}

// TestReleaseOfOneRequestByMany wants one event of a request that several release at a time, of a source whose duplicates nothing tells.
func TestReleaseOfOneRequestByMany(t *testing.T) {
	eachStore(t, func(t *testing.T, store string) {
		secret := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(secret, []byte("wrong"), 0o600); err != nil {
			t.Fatal(err)
		}
		rig := startAdmin(t, store, "", fmt.Sprintf("webhook stripe {\n secret {file.%s}\n dedup off\n}", secret))
		id := rig.refuseSigned("stripe", "/", stripeEvent, testSecret)
		rig.awaitSecret(secret, testSecret, id, `"dry_run":true`)
		const many = 8
		statuses := make([]int, many)
		var callers sync.WaitGroup
		begin := make(chan struct{})
		for i := range many {
			callers.Go(func() {
				<-begin
				resp, err := rig.client.Post("http://localhost/webhooks/quarantine/"+id+"/release", "", nil)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				statuses[i] = resp.StatusCode
			})
		}
		close(begin)
		callers.Wait()
		released := 0
		for _, status := range statuses {
			switch status {
			case http.StatusOK:
				released++
			case http.StatusNotFound, http.StatusConflict:
			default:
				t.Errorf("status %d", status)
			}
		}
		events, audit := get[eventPage](rig, "/webhooks/events").Events, get[auditPage](rig, "/webhooks/audit").Entries
		if released != 1 || len(events) != 1 || len(audit) != 1 {
			t.Errorf("%v: %d events, %d entries of the audit log", statuses, len(events), len(audit))
		}
	})
}

// TestQuarantineCursor wants cursors of the list only, as other lists do.
func TestQuarantineCursor(t *testing.T) {
	rig := startAdmin(t, "memory", "", "webhook stripe {\n secret "+testSecret+"\n}")
	for _, cursor := range []string{"zzz", "%00", "rq_", "rq_0603c5a1b2c3d0", "RQ_0603c5a1b2c3d", "rq_0603c5a1b2c3d/"} {
		rig.refused(http.MethodGet, "/webhooks/quarantine?cursor="+cursor, nil, 400, "bad_request")
	}
	first := rig.refuseSigned("stripe", "/", stripeEvent, "other")
	second := rig.refuseSigned("stripe", "/", stripeEvent+" ", "other")
	page := get[refusedPage](rig, "/webhooks/quarantine?limit=1")
	if page.Next != second {
		t.Fatalf("%+v", page)
	}
	if page = get[refusedPage](rig, "/webhooks/quarantine?limit=1&cursor="+page.Next); len(page.Requests) != 1 || page.Requests[0].ID != first || page.Next != "" {
		t.Errorf("%+v", page)
	}
}
