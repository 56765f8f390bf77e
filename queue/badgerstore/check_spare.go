package badgerstore

import "fmt"

// zones reads the rows that lists use to pass over events. Whatever is wrong with them, nothing is lost: they follow from the events.
func (c *checker) zones() error {
	return c.spare(tabZone, soundZoneRow, "index of lists: %s broken; the store makes them anew from the events when it meets them")
}

// filters reads the rows about filters of dedup claims. They follow from the claims.
func (c *checker) filters() error {
	sound := func(key, sealed []byte) bool {
		_, sound := unseal(key, sealed)
		return sound
	}
	return c.spare(tabFilter, sound, "filters of dedup claims: %s broken; the store makes them anew from the claims when it is opened")
}

// spare reads a table that can be made anew, and notes how many of its rows are broken.
func (c *checker) spare(table byte, sound func(key, sealed []byte) bool, note string) error {
	rows := c.src.scan([]byte{table})
	defer rows.close()
	broken := 0
	for {
		key, sealed, err, ok := rows.step()
		if !ok {
			break
		}
		if c.steps++; c.steps%4096 == 0 && c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		c.report.Rows++
		if err != nil || !sound(key, sealed) {
			broken++
		}
	}
	if broken > 0 {
		c.report.add(Finding{Level: LevelNote, Kind: "row", Text: fmt.Sprintf(note, count(broken, "row is", "rows are"))})
	}
	return nil
}

func soundZoneRow(key, sealed []byte) bool {
	value, sound := unseal(key, sealed)
	if !sound || len(key) < 10 {
		return false
	}
	switch key[1] {
	case zoneSummary:
		_, err := decodeZone(value)
		return err == nil && len(key) == 10
	case zoneIDs:
		return len(key) == 11 && len(value) == 2*partEvents
	case zoneAdded, zoneCancelled:
		return len(key) == 12
	}
	return false
}
