package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sluice-webhooks/sluice/verifiers"
)

const maxSecretFile = 1 << 20

// secretStreamWait bounds how long a pipe or terminal in place of a secret's file may take to give the secret and end. Tests shorten it.
var secretStreamWait = 5 * time.Second

var (
	errSecretEmpty   = errors.New("is empty: set it, or remove it from the configuration")
	errSecretMissing = errors.New("is not set")
	errSecretPipe    = errors.New("is a pipe that nobody writes to")
)

// secretSource is one configured secret: a literal, or text with placeholders such as {env.X} and {file./path}. It keeps the last good value; it never shows it.
type secretSource struct {
	config string   // as configured; only its placeholders are safe to show
	files  []string // that its placeholders name
	value  []byte
	mtime  time.Time // of the newest file that the value is from
	broken error     // why the files cannot be used at present
	usable func(verifiers.Secret) error
}

// newSecretSource resolves a configured secret. Its errors name the placeholder and never the value.
func newSecretSource(config string) (*secretSource, error) {
	s := &secretSource{config: config, files: filesOf(config)}
	err := checkSecret(config)
	if err == nil {
		s.value, s.mtime, err = s.read()
	}
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", s.label(), err)
	}
	return s, nil
}

// checkSecret says what is wrong with a configured secret whatever the values of its placeholders are.
func checkSecret(config string) error {
	switch {
	case config == "":
		return errSecretEmpty
	case unknownPlaceholder.MatchString(config) && !isPlaceholder(config):
		return errors.New("looks like a placeholder and is none that is known here: write {env.NAME} or {file./absolute/path}")
	case strings.Contains(config, "{http."):
		// Caddy's Caddyfile rewrites {file.name} in a site block to a request placeholder; a path with a slash or dot is left alone.
		return errors.New("is a placeholder of a request and means nothing here: write {file./absolute/path} or {env.NAME}")
	}
	return nil
}

var (
	// knownPlaceholder finds the placeholders that have a value outside a request, those of a request, which are a mistake, and the name
	// of a secret that a handshake brought. All else in a secret is literal: a JWK and a password may have braces too.
	knownPlaceholder   = regexp.MustCompile(`\{(?:(?:env|file|http)\.[^{}]*|(?:system|time)\.[a-z0-9_.]+|handshake\.secret)\}`)
	unknownPlaceholder = regexp.MustCompile(`^\{[a-zA-Z_]\w*\.[\w./-]*\}$`)
)

// isPlaceholder tells a placeholder from a literal secret.
func isPlaceholder(s string) bool { return knownPlaceholder.MatchString(s) }

// fileOf is the path in a placeholder of a file.
func fileOf(placeholder string) (path string, ok bool) {
	path, ok = strings.CutPrefix(placeholder, "{file.")
	return strings.TrimSuffix(path, "}"), ok
}

// filesOf are the files that a configured secret names.
func filesOf(config string) (paths []string) {
	for _, placeholder := range knownPlaceholder.FindAllString(config, -1) {
		if path, ok := fileOf(placeholder); ok {
			paths = append(paths, path)
		}
	}
	return paths
}

// label is how errors, logs and pages call the secret: its placeholders, without what stands around them.
func (s *secretSource) label() string {
	if found := knownPlaceholder.FindAllString(s.config, -1); found != nil {
		return strings.Join(found, "")
	}
	return "(literal)"
}

// mayChange reports whether the secret can have another value without another configuration.
func (s *secretSource) mayChange() bool { return len(s.files) > 0 }

// read puts the present values in the place of the placeholders. mtime is when the newest of its files was written.
func (s *secretSource) read() (value []byte, mtime time.Time, err error) {
	value = knownPlaceholder.ReplaceAllFunc([]byte(s.config), func(found []byte) []byte {
		placeholder := string(found)
		part, at, partErr := readPlaceholder(placeholder)
		if partErr != nil && placeholder != s.label() { // one of several
			partErr = fmt.Errorf("%s %w", placeholder, partErr)
		}
		if partErr != nil && err == nil {
			err = partErr
		}
		if at.After(mtime) {
			mtime = at
		}
		return part
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	return value, mtime, nil
}

// readPlaceholder returns the present value of a placeholder, and when it was written if it is in a file.
func readPlaceholder(placeholder string) ([]byte, time.Time, error) {
	if path, ok := fileOf(placeholder); ok {
		return readSecretFile(path)
	}
	value, err := caddy.NewReplacer().ReplaceOrErr(placeholder, true, true)
	if err != nil || strings.TrimSpace(value) == "" {
		return nil, time.Time{}, errSecretMissing
	}
	return []byte(strings.TrimRight(value, "\r\n")), time.Time{}, nil // as of a file
}

// readSecretFile returns what is in a secret's file, and when that was written. It is read each time: a file of the same size and time may be another one,
// put in its place by a symbolic link or written twice within one tick of the file system's clock.
func readSecretFile(path string) ([]byte, time.Time, error) {
	f, err := openSecretFile(path)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	if len(raw) > maxSecretFile {
		return nil, time.Time{}, fmt.Errorf("file is larger than %d bytes", maxSecretFile)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	// editors and echo end a file with a newline; no provider's secret does
	value := bytes.TrimRight(raw, "\r\n")
	switch {
	case len(raw) == 0 && info.Mode()&os.ModeNamedPipe != 0:
		return nil, time.Time{}, errSecretPipe
	case len(bytes.TrimSpace(value)) == 0:
		return nil, time.Time{}, errSecretEmpty
	}
	return value, info.ModTime(), nil
}

// openSecretFile opens a secret's file. A pipe would wait in the system for somebody who opens its other end, and terminals and pipes wait for what is
// written: configurations are loaded one at a time, and Caddy does not even stop while one is.
func openSecretFile(path string) (*os.File, error) {
	if !isStream(path) {
		return os.Open(path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	_ = f.SetReadDeadline(time.Now().Add(secretStreamWait)) // what takes none, such as /dev/null, does not wait
	return f, nil
}

// isStream tells what can be read once only, and not without waiting, from a file.
func isStream(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeSocket|os.ModeDevice) != 0
}
