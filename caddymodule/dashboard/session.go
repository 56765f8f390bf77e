package dashboard

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// Cookies of the dashboard. Neither says who somebody is: that is for whoever protects the route.
const (
	sessionCookie = "webhooks_session" // a random number that forms are bound to
	flashCookie   = "webhooks_flash"   // a message for the next page
)

// csrfKey signs the tokens of forms. It lives as long as the process; a form that is older has to be loaded again.
var csrfKey = func() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	return key
}()

// session returns the number that this browser's forms are bound to, and gives it one if it has none.
func (x *exchange) session() string {
	if c, err := x.r.Cookie(sessionCookie); err == nil && len(c.Value) >= 26 {
		return c.Value
	}
	value := rand.Text()
	x.setCookie(sessionCookie, value, 0)
	return value
}

func (x *exchange) setCookie(name, value string, maxAge int) {
	http.SetCookie(x.w, &http.Cookie{
		Name: name, Value: value, Path: x.visit.Base + "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: x.r.TLS != nil,
	})
}

// csrfToken is what a form of this browser and user must bring along.
func csrfToken(session, user string) string {
	mac := hmac.New(sha256.New, csrfKey)
	mac.Write([]byte(session + "\x00" + user))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// checkOrigin takes a change only from a form of the dashboard: of the same origin, and with the token that was in it.
func (x *exchange) checkOrigin() error {
	refused := &Problem{Status: http.StatusForbidden, Code: "origin", Detail: "The request does not come from a page of this dashboard."}
	site, origin := x.r.Header.Get("Sec-Fetch-Site"), x.r.Header.Get("Origin")
	switch {
	case site != "" && site != "same-origin", site == "" && !sameHost(origin, x.r.Host):
		return refused
	}
	if err := x.r.ParseForm(); err != nil {
		return err
	}
	if !hmac.Equal([]byte(x.r.PostForm.Get("csrf")), []byte(x.csrf)) {
		return &Problem{Status: http.StatusForbidden, Code: "csrf", Detail: "The form has expired."}
	}
	return nil
}

// sameHost compares the origin of a page with the host that it asks. The scheme does not count: a proxy in front may speak TLS.
func sameHost(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// flash is a message about a change that was made, for the next page.
type flash struct {
	Text string
	Bad  bool
}

const (
	maxFlash = 1000 // bytes
	flashBad = "!"  // begins a cookie with bad news
)

func (x *exchange) setFlash(message flash) {
	if message.Text == "" {
		return
	}
	value := url.QueryEscape(strings.ToValidUTF8(message.Text[:min(len(message.Text), maxFlash)], ""))
	if message.Bad {
		value = flashBad + value
	}
	x.setCookie(flashCookie, value, 60)
}

// takeFlash returns the message for this page, once.
func (x *exchange) takeFlash() flash {
	c, err := x.r.Cookie(flashCookie)
	if err != nil || x.r.Header.Get("HX-Request") != "" { // the parts of a page that renew themselves show no message
		return flash{}
	}
	x.setCookie(flashCookie, "", -1)
	value, bad := strings.CutPrefix(c.Value, flashBad)
	text, err := url.QueryUnescape(value)
	if err != nil {
		return flash{}
	}
	return flash{Text: text, Bad: bad}
}
