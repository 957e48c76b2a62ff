package fleet

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/go-kit/log"

	"github.com/brndnmtthws/mother-of-dragons/internal/datadir"
)

// InventoryName is the file of the inventory in the data directory.
const InventoryName = inventoryName

// Remembered returns the dragons that the inventory in dir knows, sorted by worker, and
// leaves no trace there: it is for commands that run beside the instance which owns it.
// site returns the site of an address, and may be nil.
func Remembered(dir string, site func(address string) string) ([]*Info, error) {
	data, err := datadir.ReadFile(filepath.Join(dir, inventoryName))
	if err != nil {
		return nil, fmt.Errorf("the inventory: %w", err)
	}
	records, _, err := decodeInventory(data)
	if newer := (*newerError)(nil); err != nil && (!errors.As(err, &newer) || len(records) == 0) {
		return nil, fmt.Errorf("the inventory %s: %w", filepath.Join(dir, inventoryName), err)
	}
	f, err := Open(Config{Site: site, Logger: log.NewNopLogger()})
	if err != nil {
		return nil, err
	}
	defer f.cancel()
	f.remember(records)
	infos := make([]*Info, 0, len(records))
	for _, d := range f.Dragons() {
		infos = append(infos, d.Info())
	}
	return infos, nil
}
