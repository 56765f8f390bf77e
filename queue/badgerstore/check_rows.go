package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/cespare/xxhash/v2"

	"github.com/sluice-webhooks/sluice/queue"
)

// checker reads every row of a database and compares the tables with each other, in memory that grows with the destinations and, by a few bits for
// each event, with the backlog. What one table says about rows of another one is compared by a digest of their keys that does not depend on their order.
type checker struct {
	ctx     context.Context
	src     rowSource
	report  *Report
	format  uint64
	applied appliedState
	// prunedTo is the pruner's mark: events before it are stragglers, or pruned.
	prunedTo uint64
	begun    uint64 // the event of which there are only deliveries, because a crash came between its parts; 0: none
	lanes    map[uint16]*laneCheck
	names    map[string]uint16
	unread   int // events whose record cannot be read
	steps    int
}

// laneCheck is what was found of a destination.
type laneCheck struct {
	row           laneRow
	pending, dead int64
	owners        int64
	fifo          map[uint64]uint64 // by block: the deliveries in its row, until their event has shown up
	want, have    [4]digest         // of the tables in checkedTables
	lowFIFO       uint64
	lowDue        int64
	lowOpen       uint64
}

// digest identifies a set of keys.
type digest struct{ n, sum uint64 }

func (d *digest) add(key []byte) {
	d.n++
	d.sum += xxhash.Sum64(key)
}

// checkedTables are those whose rows follow from the deliveries' rows, and what it means that one is missing.
var checkedTables = [4]struct {
	table byte
	name  string
}{{tabScheduled, "schedule"}, {tabOpen, "unsettled deliveries"}, {tabParked, "deliveries behind an older one of their order key"}, {tabDead, "dead letters"}}

const (
	inScheduleTable = iota
	inOpenTable
	inParkedTable
	inDeadTable
)

// checkRows runs all checks that a source of rows allows.
func checkRows(ctx context.Context, src rowSource, report *Report) (*checker, error) {
	c := &checker{ctx: ctx, src: src, report: report, lanes: map[uint16]*laneCheck{}, names: map[string]uint16{}}
	c.applied = newAppliedState()
	for _, step := range []func() error{c.meta, c.fifo, c.derived, c.others, c.zones, c.filters, c.events} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	c.compare()
	return c, nil
}

// each calls fn for every row with a prefix whose checksum is right, and reports the others.
func (c *checker) each(prefix []byte, what string, fn func(key, value []byte) error) error {
	rows := c.src.scan(prefix)
	defer rows.close()
	for {
		key, sealed, err, ok := rows.step()
		if !ok {
			return nil
		}
		if c.steps++; c.steps%4096 == 0 && c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		c.report.Rows++
		if key[0] == tabUser && isTombstone(sealed) {
			continue
		}
		value, sound := unseal(key, sealed)
		if err == nil && !sound {
			err = errors.New("does not match its checksum")
		}
		if err == nil {
			err = fn(key, value)
		}
		if err != nil {
			c.report.add(Finding{Kind: "row", Text: fmt.Sprintf("%s: a row is broken: %v", what, err), WayOut: outSalvage})
		}
	}
}

// lane returns what is known of a destination; rows of one that has no row of its own are damage.
func (c *checker) lane(id uint16) *laneCheck {
	l := c.lanes[id]
	if l == nil {
		l = &laneCheck{row: laneRow{name: fmt.Sprintf("(destination %d)", id)}, fifo: map[uint64]uint64{}, lowFIFO: math.MaxUint64, lowDue: math.MaxInt64, lowOpen: math.MaxUint64}
		c.lanes[id] = l
	}
	return l
}

// meta reads the store's bookkeeping.
func (c *checker) meta() error {
	seen := map[string]bool{}
	err := c.each([]byte{tabMeta}, "bookkeeping", func(key, value []byte) error {
		d := decoder{b: value}
		seen[string(key)] = true
		switch {
		case string(key) == string(keyFormat):
			c.format = d.fixed()
		case string(key) == string(keyApplied):
			c.applied.seq, c.applied.commits, c.applied.events = d.fixed(), d.fixed(), d.int()
			if len(d.b) > 0 && kept(d.byte())&keptPart != 0 {
				c.begun = c.applied.seq + 1
			}
		case string(key) == string(keyPruner):
			c.prunedTo = d.fixed()
		case len(key) == 4 && key[1] == prefixDest[1]:
			row, err := decodeLaneRow(value)
			if err != nil {
				return err
			}
			id := be.Uint16(key[2:])
			c.lane(id).row = *row
			c.names[row.name] = id
			c.applied.lanes[id] = row
		case key[1] == prefixSource[1]:
			row, err := decodeSourceRow(value)
			if err != nil {
				return err
			}
			c.applied.sources[string(key[2:])] = row
		case len(key) == 6 && key[1] == prefixBucket[1]:
			row, err := decodeBucketRow(value)
			if err != nil {
				return err
			}
			c.applied.buckets[be.Uint32(key[2:])] = row
		}
		if d.bad {
			return queue.ErrDamaged
		}
		return nil
	})
	if err == nil && (!seen[string(keyFormat)] || !seen[string(keyApplied)]) {
		c.report.add(Finding{Kind: "row", Text: "the store's bookkeeping is missing", WayOut: outSalvage})
	}
	return err
}

// fifo reads which deliveries wait in order of arrival.
func (c *checker) fifo() error {
	return c.each([]byte{tabFIFO}, "deliveries in order of arrival", func(key, value []byte) error {
		b, err := decodeBlock(value)
		if err != nil || len(key) != 11 {
			return errors.Join(err, queue.ErrDamaged)
		}
		l, number := c.lane(be.Uint16(key[1:])), be.Uint64(key[3:])
		if c.begun != 0 && number == blockOf(c.begun) && b.present&bitOf(c.begun) != 0 {
			b.present &^= bitOf(c.begun)
			l.pending++
		}
		l.fifo[number] = b.present
		l.lowFIFO = min(l.lowFIFO, number)
		return nil
	})
}

// derived reads the tables that follow from the deliveries' states.
func (c *checker) derived() error {
	for i, t := range checkedTables {
		err := c.each([]byte{t.table}, t.name, func(key, _ []byte) error {
			at := 1
			if t.table == tabDead {
				at = 9
			}
			if len(key) < at+2 || len(key) < 11 {
				return queue.ErrDamaged
			}
			l := c.lane(be.Uint16(key[at:]))
			switch t.table {
			case tabScheduled:
				l.lowDue = min(l.lowDue, int64(be.Uint64(key[3:])))
				if len(key) == 19 && be.Uint64(key[11:]) == c.begun {
					l.pending++
					return nil
				}
			case tabOpen:
				l.lowOpen = min(l.lowOpen, be.Uint64(key[3:]))
				if be.Uint64(key[3:]) == c.begun {
					return nil
				}
			}
			l.have[i].add(key)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// others reads the tables that stand for themselves.
func (c *checker) others() error {
	for table, fn := range map[byte]func(key, value []byte) error{
		tabOwner:     func(key, _ []byte) error { c.lane(be.Uint16(key[1:])).owners++; return nil },
		tabStraggler: func(_, _ []byte) error { return nil },
		tabClaim:     func(_, _ []byte) error { c.report.Claims++; return nil },
		tabClaimLog:  c.loggedClaims,
		tabClaimPage: c.pagedClaims,
		tabUser:      func(_, _ []byte) error { c.report.Metadata++; return nil },
	} {
		err := c.each([]byte{table}, otherTables[table], func(key, value []byte) error {
			if len(key) < 3 {
				return queue.ErrDamaged
			}
			return fn(key, value)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

var otherTables = map[byte]string{
	tabOwner: "owners of order keys", tabStraggler: "events to prune later", tabClaim: "dedup claims", tabClaimLog: "dedup claims", tabClaimPage: "dedup claims", tabUser: "metadata",
}

// compare says where the tables contradict each other.
func (c *checker) compare() {
	wayOut := outRecount
	if c.unread > 0 {
		wayOut += "; events that cannot be read explain some of it"
	}
	for _, l := range c.lanes {
		name := l.row.name
		for i, t := range checkedTables {
			if l.want[i] != l.have[i] && c.unread == 0 {
				c.report.add(Finding{Kind: "delivery", Destination: name, WayOut: outRedeliver,
					Text: fmt.Sprintf("%s: the deliveries' states ask for %d rows, there are %d, and they are not the same", t.name, l.want[i].n, l.have[i].n)})
			}
		}
		left := 0
		for _, bitmap := range l.fifo {
			left += bits.OnesCount64(bitmap)
		}
		if left > 0 && c.unread == 0 {
			c.report.add(Finding{Level: LevelNote, Kind: "delivery", Destination: name, Text: count(left, "waiting delivery has", "waiting deliveries have") + " no event"})
		}
		for _, n := range []struct {
			name       string
			kept, real int64
		}{{"pending", l.row.pending, l.pending}, {"dead", l.row.dead, l.dead}, {"order keys", l.row.owners, l.owners}} {
			if n.kept != n.real {
				c.report.add(Finding{Kind: "counter", Destination: name, Text: fmt.Sprintf("counter of %s says %d, there are %d", n.name, n.kept, n.real), WayOut: wayOut})
			}
		}
		c.watermarks(l)
	}
	if n := int64(c.report.Events) + int64(c.unread); n != c.applied.events {
		c.report.add(Finding{Kind: "counter", Text: fmt.Sprintf("counter of events says %d, there are %d", c.applied.events, n), WayOut: wayOut})
	}
}

// watermarks finds deliveries in front of the place from which the store reads on.
func (c *checker) watermarks(l *laneCheck) {
	if l.lowFIFO < l.row.lowFIFO || l.lowDue < l.row.lowDue || l.lowOpen < l.row.lowOpen {
		c.report.add(Finding{Kind: "delivery", Destination: l.row.name, Text: "some deliveries lie before the place where the store goes on reading", WayOut: outRedeliver})
	}
}
