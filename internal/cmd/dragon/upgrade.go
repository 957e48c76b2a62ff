package dragon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

func (f *family) addUpgrade() {
	var image, from string
	var force bool
	f.addChange(change{
		verb: "upgrade", help: "Send a firmware image to each dragon. The dragon checks it, flashes it and reboots. An image that its name says is for " +
			"another model is refused.",
		flags: func(cmd *kingpin.CmdClause) {
			cmd.Flag("image", "The image: a .swu file signed by the vendor.").NoEnvar().PlaceHolder("FILE").StringVar(&image)
			cmd.Flag("url", "Let the dragon download the image from this URL, which is less reliable.").NoEnvar().PlaceHolder("URL").StringVar(&from)
			cmd.Flag("force", "Send it even if its name is that of another model's image.").NoEnvar().BoolVar(&force)
		},
		check: func(b *batch) error {
			if (image == "") == (from == "") {
				return errors.New("upgrade: give --image or --url, one of the two")
			}
			if image == "" {
				return nil
			}
			info, err := os.Stat(image)
			if err != nil {
				return fmt.Errorf("upgrade: %w", err)
			}
			if !info.Mode().IsRegular() {
				return fmt.Errorf("upgrade: %s is not a regular file", image)
			}
			b.size = info.Size()
			return nil
		},
		before: func(_ context.Context, t *target) (string, error) {
			name := image
			if from != "" {
				name = path.Base(from)
			}
			if force {
				return "", nil
			}
			return "", fits(name, t.overview)
		},
		away: 45 * time.Minute, result: "accepted; the dragon checks it, flashes it and reboots",
		send: func(ctx context.Context, t *target) error {
			if from != "" {
				return t.UpgradeDownload(ctx, from)
			}
			return t.upload(ctx, image)
		},
	})
}

// fits reports an error if the name of an image, such as t1_20180515_060842.swu, is that of
// another model. A name that is not a version tells nothing.
func fits(image string, o *dragon.Overview) error {
	version, err := dragon.ParseFirmware(strings.TrimSuffix(filepath.Base(image), ".swu"))
	if err == nil && o.Model != "" {
		if err := version.Fits(o.Model, o.HWVersion); err != nil {
			return fmt.Errorf("not sent: %s: %w; --force sends it anyway", filepath.Base(image), err)
		}
	}
	return nil
}

// upload sends a firmware image.
func (t *target) upload(ctx context.Context, name string) error {
	image, err := os.Open(name) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	defer image.Close()
	info, err := image.Stat()
	if err != nil {
		return err
	}
	return t.UpgradeUpload(ctx, filepath.Base(name), image, info.Size(), t.progress)
}
