package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// Volumes for nodes that share the machine's file system: one directory per claim under
// BASE/NODE/, bound to the node that the scheduler chose, as a local disk would be. Nothing is
// kept in memory; every round looks at the claims and volumes there are.
const (
	provisioner  = "nsq.io/test-volumes"
	provisioned  = "pv.kubernetes.io/provisioned-by"
	chosenNode   = "volume.kubernetes.io/selected-node"
	asksFor      = "volume.kubernetes.io/storage-provisioner"
	roundEvery   = 300 * time.Millisecond
	anyoneWrites = 0o777
)

func volumes(args []string) error {
	flags := flag.NewFlagSet("volumes", flag.ExitOnError)
	base := flags.String("base", "", "directory of all volumes")
	kubeconfig := flags.String("kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	for ; ; time.Sleep(roundEvery) {
		ctx := context.Background()
		if err := provideMissing(ctx, client, *base); err != nil {
			fmt.Fprintln(os.Stderr, "volumes: cannot provide:", err)
		}
		if err := growBound(ctx, client); err != nil {
			fmt.Fprintln(os.Stderr, "volumes: cannot grow:", err)
		}
		if err := removeReleased(ctx, client); err != nil {
			fmt.Fprintln(os.Stderr, "volumes: cannot remove:", err)
		}
	}
}

func provideMissing(ctx context.Context, client kubernetes.Interface, base string) error {
	claims, err := client.CoreV1().PersistentVolumeClaims("").List(ctx, meta.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return err
	}
	for _, claim := range claims.Items {
		ours := claim.Annotations[asksFor] == provisioner && claim.Annotations[chosenNode] != ""
		if !ours || claim.Status.Phase != core.ClaimPending || claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil {
			continue
		}
		if err := provide(ctx, client, base, &claim); err != nil {
			return err
		}
	}
	return nil
}

func provide(ctx context.Context, client kubernetes.Interface, base string, claim *core.PersistentVolumeClaim) error {
	node, err := client.CoreV1().Nodes().Get(ctx, claim.Annotations[chosenNode], meta.GetOptions{})
	if err != nil {
		return err
	}
	name := "pvc-" + string(claim.UID)
	directory := filepath.Join(base, node.Name, name)
	if err := os.MkdirAll(directory, anyoneWrites); err != nil {
		return err
	}
	if err := os.Chmod(directory, anyoneWrites); err != nil {
		return err
	}
	onNode := core.NodeSelectorRequirement{Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{node.Labels[core.LabelHostname]}}
	volume := &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{provisioned: provisioner}},
		Spec: core.PersistentVolumeSpec{
			StorageClassName:              *claim.Spec.StorageClassName,
			PersistentVolumeReclaimPolicy: core.PersistentVolumeReclaimDelete,
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    claim.Spec.VolumeMode,
			Capacity:                      core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
			ClaimRef:                      &core.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
			PersistentVolumeSource:        core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: directory}},
			NodeAffinity:                  &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{{MatchExpressions: []core.NodeSelectorRequirement{onNode}}}}},
		},
	}
	_, err = client.CoreV1().PersistentVolumes().Create(ctx, volume, meta.CreateOptions{})
	if errors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// A directory has no size, so growing one is a matter of saying so.
func growBound(ctx context.Context, client kubernetes.Interface) error {
	claims, err := client.CoreV1().PersistentVolumeClaims("").List(ctx, meta.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return err
	}
	for _, claim := range claims.Items {
		wanted, has := claim.Spec.Resources.Requests[core.ResourceStorage], claim.Status.Capacity[core.ResourceStorage]
		if claim.Annotations[asksFor] != provisioner || claim.Status.Phase != core.ClaimBound || has.Cmp(wanted) >= 0 {
			continue
		}
		volume, err := client.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, meta.GetOptions{})
		if err != nil {
			return err
		}
		volume.Spec.Capacity[core.ResourceStorage] = wanted
		if _, err := client.CoreV1().PersistentVolumes().Update(ctx, volume, meta.UpdateOptions{}); err != nil {
			return err
		}
		claim.Status.Capacity[core.ResourceStorage] = wanted
		if _, err := client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, &claim, meta.UpdateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func removeReleased(ctx context.Context, client kubernetes.Interface) error {
	all, err := client.CoreV1().PersistentVolumes().List(ctx, meta.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return err
	}
	for _, volume := range all.Items {
		released := volume.Status.Phase == core.VolumeReleased && volume.Spec.PersistentVolumeReclaimPolicy == core.PersistentVolumeReclaimDelete
		if volume.Annotations[provisioned] != provisioner || !released || volume.DeletionTimestamp != nil {
			continue
		}
		if err := os.RemoveAll(volume.Spec.Local.Path); err != nil {
			return err
		}
		if err := client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{}); err != nil && !errors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
