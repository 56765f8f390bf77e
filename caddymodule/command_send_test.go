package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// runSend runs `caddy webhooks send` with the arguments and standard input, and returns what it printed and the exit code.
func runSend(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return runHere(t, stdin, append([]string{"send"}, args...)...)
}

// runHere runs `caddy webhooks` in this process.
func runHere(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	root := &cobra.Command{Use: "webhooks"}
	buildCommand(root)
	var out, errs bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetIn(strings.NewReader(stdin))
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	switch {
	case err == nil:
	case errors.As(err, new(*commandError)):
		var ce *commandError
		errors.As(err, &ce)
		code = ce.code
	default:
		code = exitFailed
	}
	return out.String(), errs.String(), code
}

const sendSite = `
	handle /heyvisa {
		webhook heyvisa {
			secret  hv_secret
			forward %URL%/visa
		}
	}
	handle /acme {
		webhook hmac {
			name       acme
			secret     acme_secret
			header     X-Acme-Signature
			format     "v={signature}"
			event_id   json:id
			event_type json:kind
			forward    %URL%/acme
		}
	}
	handle /vericato {
		webhook vericato {
			token   query:token tok
			forward %URL%/vericato
		}
	}
`

// TestSendRoundTrip sends to a running gateway and looks for the events at the application behind it.
func TestSendRoundTrip(t *testing.T) {
	app := startApplication(t, nil)
	site := strings.ReplaceAll(sendSite, "%URL%", app.URL)
	g := startGateway(t, "", site)
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte("hv_secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HEYVISA", "hv_secret")
	to := "http://" + g.addr
	want := 0
	for name, tc := range map[string]struct {
		args   []string
		stdin  string
		status int
		event  string // of the CloudEvent that arrives
	}{
		"secret as text":           {[]string{"heyvisa", "--secret", "hv_secret", "--to", to + "/heyvisa", "--id", "evt_text"}, "", 200, `"evt_text"`},
		"secret as a placeholder":  {[]string{"heyvisa", "--secret", "{env.HEYVISA}", "--to", to + "/heyvisa", "--id", "evt_place"}, "", 200, `"evt_place"`},
		"secret in the env":        {[]string{"heyvisa", "--secret-env", "HEYVISA", "--to", to + "/heyvisa", "--id", "evt_env"}, "", 200, `"evt_env"`},
		"secret in a file":         {[]string{"heyvisa", "--secret-file", secretFile, "--to", to + "/heyvisa", "--id", "evt_file"}, "", 200, `"evt_file"`},
		"secret on standard input": {[]string{"heyvisa", "--secret-file", "-", "--to", to + "/heyvisa", "--id", "evt_stdin"}, "hv_secret\n", 200, `"evt_stdin"`},
		"another type":             {[]string{"heyvisa", "--secret", "hv_secret", "--to", to + "/heyvisa", "--type", "application.submitted"}, "", 200, `"application.submitted"`},
		"a body of one's own": {
			[]string{
				"hmac", "--secret", "acme_secret", "--to", to + "/acme", "--set", "header X-Acme-Signature", "--set", `format "v={signature}"`,
				"--set", "event_id json:id", "--set", "event_type json:kind", "--data", "-",
			}, `{"id":"own_1","kind":"made.up"}`, 200, `"own_1"`,
		},
		"a token":            {[]string{"vericato", "--to", to + "/vericato?token=tok", "--type", "verification.started"}, "", 200, `"verification.started"`},
		"a wrong secret":     {[]string{"heyvisa", "--secret", "wrong", "--to", to + "/heyvisa"}, "", 401, ""},
		"too old":            {[]string{"heyvisa", "--secret", "hv_secret", "--to", to + "/heyvisa", "--age", "10m"}, "", 401, ""},
		"from the future":    {[]string{"heyvisa", "--secret", "hv_secret", "--to", to + "/heyvisa", "--age", "-10m"}, "", 401, ""},
		"changed on the way": {[]string{"heyvisa", "--secret", "hv_secret", "--to", to + "/heyvisa", "--tamper"}, "", 401, ""},
		"a wrong token":      {[]string{"vericato", "--to", to + "/vericato?token=guess"}, "", 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := runSend(t, tc.stdin, append(tc.args, "--json")...)
			var result sendResult
			if err := json.Unmarshal([]byte(stdout), &result); err != nil {
				t.Fatalf("%v: %q %q", err, stdout, stderr)
			}
			accepted := tc.status < 300
			if result.Status != tc.status || result.Accepted != accepted || accepted != (code == exitOK) {
				t.Errorf("result %+v, exit code %d, %s", result, code, stderr)
			}
			if tc.event == "" {
				return
			}
			want++
			got := app.await(t, want)
			if last := string(got[len(got)-1].body); !strings.Contains(last, tc.event) {
				t.Errorf("application got %s, want %s", last, tc.event)
			}
		})
	}
	if got := len(app.all()); got != want {
		t.Errorf("application got %d events, want %d", got, want)
	}
}

func TestSendMany(t *testing.T) {
	app := startApplication(t, nil)
	g := startGateway(t, "", `webhook heyvisa {
		secret hv_secret
		forward `+app.URL+`
	}`)
	stdout, stderr, code := runSend(t, "", "heyvisa", "--secret", "hv_secret", "--to", "http://"+g.addr, "-n", "5")
	if code != exitOK || !strings.HasSuffix(stdout, "5 sent, 5 accepted, 0 refused\n") {
		t.Fatalf("exit code %d, %s%s", code, stdout, stderr)
	}
	ids := make(map[string]bool)
	for _, r := range app.await(t, 5) {
		ids[regexp.MustCompile(`"id":"(evt_\w+)"`).FindString(string(r.body))] = true
	}
	if len(ids) != 5 {
		t.Errorf("%d different events, want 5", len(ids))
	}
}

// TestSendPrint has the printed forms make the same request as sending would.
func TestSendPrint(t *testing.T) {
	app := startApplication(t, nil)
	g := startGateway(t, "", `webhook heyvisa {
		secret hv_secret
		forward `+app.URL+`
	}`)
	to := "http://" + g.addr + "/hook"
	text, stderr, code := runSend(t, "", "heyvisa", "--secret", "hv_secret", "--to", to, "--dry-run", "--id", "evt_http")
	if code != exitOK || !strings.HasPrefix(text, "POST /hook HTTP/1.1\r\nHost: "+g.addr+"\r\n") || !strings.Contains(text, "\r\nHeyvisa-Signature: t=") {
		t.Fatalf("exit code %d, %q %s", code, text, stderr)
	}
	if len(app.all()) != 0 {
		t.Error("a dry run was sent")
	}
	line, stderr, code := runSend(t, "", "heyvisa", "--secret", "hv_secret", "--to", to, "--print", "curl", "--id", "evt_curl")
	if code != exitOK || !strings.HasPrefix(line, "curl ") {
		t.Fatalf("exit code %d, %q %s", code, line, stderr)
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("no curl on this machine")
	}
	out, err := exec.Command("sh", "-c", strings.Replace(line, "curl", curl+" --noproxy '*'", 1)).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("200 OK")) {
		t.Fatalf("%v: %s", err, out)
	}
	if got := string(app.await(t, 1)[0].body); !strings.Contains(got, "evt_curl") {
		t.Errorf("application got %s", got)
	}
}

// TestSendOwnProvider sends as a provider that only the running configuration knows.
func TestSendOwnProvider(t *testing.T) {
	app := startApplication(t, nil)
	rig := startAdmin(t, "memory", `
		provider acme {
			scheme   hmac
			header   X-Acme-Signature
			event_id json:id
		}`, `webhook acme {
			secret  acme_secret
			forward `+app.URL+`
		}`)
	args := []string{"acme", "--secret", "acme_secret", "--to", "http://" + rig.addr, "--data", "-", "--address", "unix/" + rig.socket}
	if stdout, stderr, code := runSend(t, `{"id":"own_2"}`, args...); code != exitOK {
		t.Fatalf("exit code %d, %s%s", code, stdout, stderr)
	}
	if got := string(app.await(t, 1)[0].body); !strings.Contains(got, "own_2") {
		t.Errorf("application got %s", got)
	}
	_, stderr, code := runSend(t, "", "nonsense", "--secret", "x", "--address", "unix/"+rig.socket)
	if code != exitNotFound || !strings.Contains(stderr, `"nonsense"`) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// TestSendUsage checks that what cannot be meant is refused with a word on what was expected, and that no secret is shown.
func TestSendUsage(t *testing.T) {
	t.Setenv("EMPTY", "")
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no provider":         {nil, "want the id of a provider"},
		"two":                 {[]string{"stripe", "github"}, "at most 1 arg"},
		"no secret":           {[]string{"heyvisa"}, "needs its signing secret"},
		"two secrets":         {[]string{"heyvisa", "--secret", "very-secret", "--secret-env", "X"}, "only one of"},
		"needless secret":     {[]string{"vericato", "--secret", "very-secret"}, "signs nothing"},
		"unset env":           {[]string{"heyvisa", "--secret-env", "EMPTY"}, "EMPTY is not set"},
		"unset placeholder":   {[]string{"heyvisa", "--secret", "{env.EMPTY}"}, "{env.EMPTY}: is not set"},
		"malformed secret":    {[]string{"standard", "--secret", "whsec_very-secret!"}, "secret of standard"},
		"bad address":         {[]string{"heyvisa", "--secret", "very-secret", "--to", "hooks.example.com"}, "--to: want an address"},
		"bad count":           {[]string{"heyvisa", "--secret", "very-secret", "-n", "0"}, "--count 0"},
		"one id for many":     {[]string{"heyvisa", "--secret", "very-secret", "-n", "2", "--id", "x"}, "duplicates"},
		"bad print":           {[]string{"heyvisa", "--secret", "very-secret", "--print", "har"}, "want curl or http"},
		"bad header":          {[]string{"heyvisa", "--secret", "very-secret", "--header", "x"}, "want 'Name: value'"},
		"bad param":           {[]string{"heyvisa", "--secret", "very-secret", "--param", "x"}, "want name=value"},
		"unknown option":      {[]string{"hmac", "--secret", "very-secret", "--set", "heder X"}, "unknown option"},
		"bad option":          {[]string{"hmac", "--secret", "very-secret", "--set", "encoding"}, "expected hex|base64"},
		"all and one":         {[]string{"stripe", "--all"}, "want no name"},
		"base without secret": {[]string{"--all", "--to-base", "http://localhost"}, "want both"},
	} {
		_, stderr, code := runSend(t, "", tc.args...)
		if code != exitUsage || !strings.Contains(stderr, tc.want) || strings.Contains(stderr, "very-secret") {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
	}
}

// TestSendAll sends the catalogue to the gateway that the command starts: each provider's event is accepted and a forged one is not.
func TestSendAll(t *testing.T) {
	stdout, stderr, code := runSend(t, "", "--all", "--json")
	if code != exitOK {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	decoder := json.NewDecoder(strings.NewReader(stdout))
	seen := 0
	for decoder.More() {
		var r sendResult
		if err := decoder.Decode(&r); err != nil {
			t.Fatal(err)
		}
		seen++
		switch {
		case r.skipped():
		case !r.ok():
			t.Errorf("%s: %+v", r.Provider, r)
		case r.Forged == 0 && r.Scheme != "none":
			t.Errorf("%s: no forged event was tried", r.Provider)
		}
	}
	if seen < 12 {
		t.Errorf("%d providers", seen)
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "sluice-catalogue-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestSendAllTo sends those providers whose secrets are known to a gateway that runs already.
func TestSendAllTo(t *testing.T) {
	g := startGateway(t, "", `handle /hooks/heyvisa {
		webhook heyvisa {
			secret hv_secret
		}
	}
	handle /hooks/stripe {
		webhook stripe {
			secret another
		}
	}
	handle {
		respond 404
	}`)
	dir := t.TempDir()
	for name, secret := range map[string]string{"heyvisa": "hv_secret\n", "stripe": "not-that"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, code := runSend(t, "", "--all", "--to-base", "http://"+g.addr+"/hooks", "--secret-dir", dir)
	if code != exitFailed || stderr != "" {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	for provider, want := range map[string]string{"heyvisa": `hmac +200`, "stripe": `hmac +401`, "github": `hmac +- .*no secret given`, "vericato": `none +404`} {
		if !regexp.MustCompile(`(?m)^` + provider + ` +` + want).MatchString(stdout) {
			t.Errorf("no line of %s with %s in\n%s", provider, want, stdout)
		}
	}
}
