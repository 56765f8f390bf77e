package caddymodule

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/fcgi"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// TestTransportThatHeedsNoContext forwards over fastcgi, which lets nothing but its own timeouts end an exchange: an attempt ends in time all the same, whether the
// application says nothing or does not come to an end, and so does the gateway.
func TestTransportThatHeedsNoContext(t *testing.T) {
	listen := func(t *testing.T) net.Listener {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	for name, answer := range map[string]func(l net.Listener){
		"silent": func(l net.Listener) {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(io.Discard, c); c.Close() }()
			}
		},
		"endless": func(l net.Listener) {
			_ = fcgi.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusOK)
				fmt.Fprint(w, "begun")
				w.(http.Flusher).Flush()
				<-over
			}))
		},
	} {
		for _, options := range []string{"", "read_timeout 1h\n write_timeout 1h\n"} {
			t.Run(name+" "+options, func(t *testing.T) {
				l := listen(t)
				go answer(l)
				d, attempts := firstOf(t, "to "+l.Addr().String()+"\n timeout 400ms\n retry none\n proxy {\n transport fastcgi {\n root /srv\n "+options+"}\n }")
				if d.State != queue.StateDead || attempts[0].Class != delivery.ClassTimeout || attempts[0].Duration > 10*time.Second {
					t.Errorf("%s after %+v, want a timeout", d.State, attempts)
				}
			})
		}
	}
}

// TestLastAnswerCounts has the proxy ask again because of an answer, until it gives up: the last answer is the attempt's outcome.
func TestLastAnswerCounts(t *testing.T) {
	const again = "proxy {\n lb_retries 1\n lb_retry_match {\n expression `{http.reverse_proxy.status_code} >= 400`\n }\n }"
	for status, options := range map[int]string{503: "retry none", 422: "dead_on 422", 410: "retry 1s"} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			app := startApplication(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(status)
			})
			d, attempts := firstOf(t, "to "+app.URL+"\n "+options+"\n "+again)
			if d.State != queue.StateDead || len(attempts) != 1 || attempts[0].Status != status || attempts[0].Class != "status" || len(app.all()) != 2 {
				t.Errorf("%s after %+v and %d requests", d.State, attempts, len(app.all()))
			}
		})
	}
}
