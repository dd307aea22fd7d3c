package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	failures "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

const (
	provisioner = "match.dev/lab-volumes"
	askedOf     = "volume.kubernetes.io/storage-provisioner"
	chosenNode  = "volume.kubernetes.io/selected-node"
	madeBy      = "pv.kubernetes.io/provisioned-by"
)

// newVolumesCommand serves the lab's StorageClass. Kubernetes' own host-path provisioner makes folders that
// only root can write, and fsGroup is not applied to host paths; these are open to every user of the pod.
func newVolumesCommand() *cobra.Command {
	var kubeconfig, root string
	command := &cobra.Command{
		Use: "volumes",
		RunE: func(*cobra.Command, []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return serveVolumes(ctx, client, filepath.Clean(root))
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&root, "root", "", "folder that holds one folder for each volume")
	return command
}

type volumes struct {
	client  kubernetes.Interface
	root    string
	claims  listers.PersistentVolumeClaimLister
	volumes listers.PersistentVolumeLister
}

// serveVolumes looks at everything after each change, and once a minute in case a write failed.
func serveVolumes(ctx context.Context, client kubernetes.Interface, root string) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	claims, all := factory.Core().V1().PersistentVolumeClaims(), factory.Core().V1().PersistentVolumes()
	changed := make(chan struct{}, 1)
	wake := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	for _, informer := range []cache.SharedIndexInformer{claims.Informer(), all.Informer()} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { wake() }, UpdateFunc: func(any, any) { wake() }, DeleteFunc: func(any) { wake() },
		}); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	v := volumes{client, root, claims.Lister(), all.Lister()}
	for {
		if err := v.look(ctx); err != nil {
			klog.ErrorS(err, "volumes")
			time.AfterFunc(time.Second, wake)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(time.Minute):
		}
	}
}

func (v volumes) look(ctx context.Context) error {
	var failed []error
	claims, err := v.claims.List(labels.Everything())
	failed = append(failed, err)
	for _, claim := range claims {
		wanted := claim.Annotations[askedOf] == provisioner && claim.Annotations[chosenNode] != ""
		if wanted && claim.Spec.VolumeName == "" && claim.DeletionTimestamp == nil {
			failed = append(failed, v.create(ctx, claim))
		}
		failed = append(failed, v.grow(ctx, claim))
	}
	all, err := v.volumes.List(labels.Everything())
	failed = append(failed, err)
	for _, volume := range all {
		ours := volume.Annotations[madeBy] == provisioner && volume.DeletionTimestamp == nil
		gone := volume.Status.Phase == core.VolumeReleased
		if ours && gone && volume.Spec.PersistentVolumeReclaimPolicy == core.PersistentVolumeReclaimDelete {
			failed = append(failed, v.remove(ctx, volume))
		}
	}
	return errors.Join(failed...)
}

func (v volumes) create(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	name := "pvc-" + string(claim.UID)
	if _, err := v.volumes.Get(name); err == nil {
		return nil
	}
	path := filepath.Join(v.root, fmt.Sprintf("%s_%s_%s", claim.Namespace, claim.Name, name))
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	// MkdirAll's mode is cut by the umask.
	if err := os.Chmod(path, 0o777); err != nil {
		return err
	}
	class, err := v.client.StorageV1().StorageClasses().Get(ctx, *claim.Spec.StorageClassName, meta.GetOptions{})
	if err != nil {
		return err
	}
	kind := core.HostPathDirectory
	volume := &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{madeBy: provisioner}},
		Spec: core.PersistentVolumeSpec{
			StorageClassName:              class.Name,
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			AccessModes:                   claim.Spec.AccessModes,
			Capacity: core.ResourceList{
				core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage],
			},
			ClaimRef: &core.ObjectReference{
				Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: core.PersistentVolumeSource{
				HostPath: &core.HostPathVolumeSource{Path: path, Type: &kind},
			},
		},
	}
	_, err = v.client.CoreV1().PersistentVolumes().Create(ctx, volume, meta.CreateOptions{})
	if failures.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// grow plays the storage driver's part when a bound claim asks for more than it has: first the volume says
// the new size, then the claim's status. Folders have no quota, so there is nothing else to do.
func (v volumes) grow(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	wanted, has := claim.Spec.Resources.Requests[core.ResourceStorage], claim.Status.Capacity[core.ResourceStorage]
	if claim.Status.Phase != core.ClaimBound || wanted.Cmp(has) <= 0 {
		return nil
	}
	volume, err := v.volumes.Get(claim.Spec.VolumeName)
	if failures.IsNotFound(err) || err == nil && volume.Annotations[madeBy] != provisioner {
		return nil
	}
	if err != nil {
		return err
	}
	if size := volume.Spec.Capacity[core.ResourceStorage]; size.Cmp(wanted) < 0 {
		volume = volume.DeepCopy()
		volume.Spec.Capacity[core.ResourceStorage] = wanted
		if _, err := v.client.CoreV1().PersistentVolumes().Update(ctx, volume, meta.UpdateOptions{}); err != nil {
			return err
		}
	}
	claim = claim.DeepCopy()
	claim.Status.Capacity[core.ResourceStorage] = wanted
	_, err = v.client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, claim, meta.UpdateOptions{})
	return err
}

func (v volumes) remove(ctx context.Context, volume *core.PersistentVolume) error {
	if volume.Spec.HostPath == nil || filepath.Dir(volume.Spec.HostPath.Path) != v.root {
		return fmt.Errorf("volume %s lies outside %s", volume.Name, v.root)
	}
	if err := os.RemoveAll(volume.Spec.HostPath.Path); err != nil {
		return err
	}
	err := v.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{
		Preconditions: &meta.Preconditions{UID: &volume.UID},
	})
	if failures.IsNotFound(err) {
		return nil
	}
	return err
}
