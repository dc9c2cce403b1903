package kafka

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"crossdock/internal/embedded/artifact"
	"crossdock/internal/testservices/jvm"
)

// Version of Kafka that pom.xml names.
const Version = "4.4.0"

const service = "real Kafka"

//go:embed pom.xml log4j2.properties
var files embed.FS

// An Installation is what a broker is started from.
type Installation struct {
	Java     string // the program
	Libs     string // directory of the jars
	template string // formatted log directory
	log4j    string
}

// Install fetches the jars with Maven into the cache (43 MB, once) and formats a log directory that every new broker
// gets a copy of, which saves a second of its start. It returns *artifact.Unavailable without Java 17 or Maven.
func Install(ctx context.Context, progress func(string)) (*Installation, error) {
	java, err := jvm.Java(ctx, service, 17)
	if err != nil {
		return nil, err
	}
	root, err := artifact.Root()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, "kafka", Version+"-"+digest())
	in := installation(java, dir)
	return in, artifact.Once(ctx, dir, func(ctx context.Context, staging string) error {
		progress("fetching Kafka " + Version + " with Maven (43 MB, once)")
		entries, err := files.ReadDir(".")
		if err != nil {
			return err
		}
		for _, e := range entries {
			b, err := files.ReadFile(e.Name())
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(staging, e.Name()), b, 0o644); err != nil {
				return err
			}
		}
		staged := installation(java, staging)
		err = jvm.Maven(ctx, service, "-f", filepath.Join(staging, "pom.xml"),
			"org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies", "-DoutputDirectory="+staged.Libs)
		if err != nil {
			return err
		}
		return staged.format(ctx)
	})
}

func installation(java, dir string) *Installation {
	return &Installation{
		Java: java, Libs: filepath.Join(dir, "libs"),
		template: filepath.Join(dir, "formatted"), log4j: filepath.Join(dir, "log4j2.properties"),
	}
}

// digest names what an installation is made of, so that a change of pom.xml is a new one.
func digest() string {
	h := sha256.New()
	for _, name := range []string{"pom.xml", "log4j2.properties"} {
		b, err := files.ReadFile(name)
		if err != nil {
			panic(err) // embedded by the compiler
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// format lets Kafka's own tool make a log directory: the cluster's id and the feature levels of this version.
func (in *Installation) format(ctx context.Context) error {
	config := in.template + ".properties"
	if err := os.WriteFile(config, []byte((&node{id: 1, port: 1024, voters: []int{1025}}).properties(in.template, nil)), 0o644); err != nil {
		return err
	}
	args := in.arguments("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAQACAAAAAAAAAAA", "-c", config)
	out, err := exec.CommandContext(ctx, in.Java, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("format Kafka's log directory: %w: %.600s", err, out)
	}
	return nil
}
