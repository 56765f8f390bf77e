package badgerstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// Report is what a check of a store has found.
type Report struct {
	Dir       string    `json:"dir"`
	At        time.Time `json:"at"`
	Online    bool      `json:"online"` // the store was open meanwhile: its rows and payloads were read, its files were not
	Encrypted bool      `json:"encrypted"`

	// What was read.
	Events     uint64 `json:"events"`
	Payload    int64  `json:"payload_bytes"`
	Deliveries uint64 `json:"deliveries"`
	Attempts   uint64 `json:"attempts"`
	Claims     uint64 `json:"dedup_claims"`
	Metadata   uint64 `json:"metadata"`
	Rows       uint64 `json:"rows"`
	Tables     int    `json:"tables"`
	Journal    uint64 `json:"journal_events"` // that only the journal holds

	Sound    bool      `json:"sound"`    // nothing was found that is damage
	Damage   int       `json:"damage"`   // how much of it, also beyond what Findings list
	Findings []Finding `json:"findings"` // at most 1000
}

// Levels of a [Finding].
const (
	LevelDamage = "damage" // something that was promised is lost, or cannot be told
	LevelNote   = "note"   // worth knowing
)

// Finding is one thing that is not as it should be. It holds no payload and no key.
type Finding struct {
	Level       string `json:"level"`
	Kind        string `json:"kind"` // manifest, table, memtable, value_log, keys, journal, mark, lock, row, event, delivery, counter
	File        string `json:"file,omitempty"`
	Event       string `json:"event,omitempty"`
	Destination string `json:"destination,omitempty"`
	Text        string `json:"text"`
	WayOut      string `json:"way_out,omitempty"`
}

const maxFindings = 1000

func (r *Report) add(f Finding) {
	if f.Level == "" {
		f.Level = LevelDamage
	}
	if f.Level == LevelDamage {
		r.Damage++
	}
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, f)
	}
}

// Ways out of damage.
const (
	outSalvage    = "carry what is readable into a new store with `caddy webhooks store salvage`, or restore a backup"
	outKey        = "give the key that the store was made with (encryption_key)"
	outEvent      = "it cannot be delivered: ask its provider to send it again; `caddy webhooks store salvage` makes a store without it"
	outRedeliver  = "`caddy webhooks store salvage` makes a store in which it is pending, so it is delivered again"
	outRecount    = "`caddy webhooks store salvage` makes a store with the right numbers; nothing is lost by it"
	outManifest   = "with Caddy stopped, put the copy in its place, and check again"
	outMark       = "if nothing else is found, the next start writes a new one"
	outIncomplete = "delete the directory and do it again"
)

// file adds damage of a file, named by its path within the store.
func (r *Report) file(kind, path string, err error, wayOut string) {
	r.add(Finding{Kind: kind, File: r.name(path), Text: err.Error(), WayOut: wayOut})
}

func (r *Report) name(path string) string {
	if rel, err := filepath.Rel(r.Dir, path); err == nil {
		return rel
	}
	return path
}

func (r *Report) finish() {
	r.Sound = r.Damage == 0
	if r.Findings == nil {
		r.Findings = []Finding{}
	}
}

// ErrNoStore means that there is no store in a directory.
var ErrNoStore = errors.New("there is no store in this directory")

// ErrKey means that the encryption key is missing, or is not the one that something was written with.
var ErrKey = errors.New("the encryption key does not fit")

func eventName(seq uint64) string { return queue.ID(seq).String() }

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
